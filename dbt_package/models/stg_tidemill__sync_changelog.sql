{{ config(enabled=var('tidemill_use_syncs', false)) }}

-- What became of each row that a run was to deliver, with the names of sync and destination.
select
    changes.*,
    runs.sync_name,
    runs.model,
    runs.destination
from {{ source('tidemill_syncs', 'sync_changelog') }} as changes
left join {{ ref('stg_tidemill__sync_runs') }} as runs
    on changes.sync_id = runs.sync_id and changes.run_number = runs.run_number
