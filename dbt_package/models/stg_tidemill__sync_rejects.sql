{{ config(enabled=var('tidemill_use_syncs', false)) }}

-- Rows that syncs could not deliver, and that nobody has mended or given up.
select
    sync_id,
    sync_name,
    row_key,
    status,
    op,
    failure_code,
    failure_reason,
    tries,
    run_number,
    changed_at
from {{ ref('stg_tidemill__sync_snapshot') }}
where status in ('rejected', 'retry')
