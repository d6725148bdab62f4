{{ config(enabled=var('tidemill_use_syncs', false)) }}

-- Runs of syncs.
select
    *,
    timestamp_diff(finished_at, began_at, second) as run_seconds
from {{ source('tidemill_syncs', 'sync_runs') }}
