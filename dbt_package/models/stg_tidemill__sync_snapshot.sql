{{ config(enabled=var('tidemill_use_syncs', false)) }}

-- Each row that a sync has delivered, or could not, as it stands now, with the sync's newest name.
with names as (
    select
        sync_id,
        array_agg(sync_name order by run_number desc limit 1)[offset(0)] as sync_name
    from {{ ref('stg_tidemill__sync_runs') }}
    group by sync_id
)

select
    snapshot.*,
    names.sync_name
from {{ source('tidemill_syncs', 'sync_snapshot') }} as snapshot
left join names on snapshot.sync_id = names.sync_id
