{{ config(enabled=var('tidemill_use_sessions', true)) }}

-- Each session once, as it is now.
select *
from {{ source('tidemill', 'sessions') }}
where {{ tidemill.since('start_timestamp') }}
qualify row_number() over (
    partition by team_id, session_id
    order by session_version desc, bq_updated_timestamp desc
) = 1
