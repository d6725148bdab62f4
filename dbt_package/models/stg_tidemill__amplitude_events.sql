{{ config(enabled=var('tidemill_use_amplitude', false)) }}

-- Each event of Amplitude's table once, with the number that its user has after all merges.
with events as (
    select *
    from {{ source('tidemill', 'amplitude_events') }}
    where {{ tidemill.since('event_time') }}
    qualify row_number() over (partition by uuid order by server_upload_time desc) = 1
)

select
    events.*,
    coalesce(merges.resolved_amplitude_id, events.amplitude_id) as resolved_amplitude_id
from events
left join {{ ref('stg_tidemill__merge_ids') }} as merges on merges.amplitude_id = events.amplitude_id
