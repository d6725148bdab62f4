{{ config(enabled=var('tidemill_use_runs', false)) }}

-- Of each export, up to which moment everything that was acknowledged is in its table.
select
    export,
    array_agg(table_name order by logged_at desc limit 1)[offset(0)] as table_name,
    max(covers_until) as covers_until,
    max(logged_at) as last_logged_at
from {{ ref('stg_tidemill__runs') }}
group by export
