{{ config(enabled=var('tidemill_use_runs', false)) }}

-- Runs of exports, and looks that found nothing to export.
select
    *,
    timestamp_diff(logged_at, started_at, second) as run_seconds
from {{ source('tidemill', 'runs') }}
