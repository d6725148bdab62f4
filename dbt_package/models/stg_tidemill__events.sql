{{ config(enabled=var('tidemill_use_events', true)) }}

-- Each event once. An imported row that changed is there as it is now, and one that was deleted is not there: events of
-- such a row have the same $import_row, and the newest run of the import counts. Rows are those of one import: its id is
-- known to nobody who only sends events.
with events as (
    select
        uuid,
        event,
        properties,
        `set`,
        set_once,
        distinct_id,
        team_id,
        ip,
        timestamp,
        bq_ingested_timestamp,
        json_value(properties, '$."$import_id"') as import_id,
        json_value(properties, '$."$import"') as import_name,
        safe_cast(json_value(properties, '$."$import_run"') as int64) as import_run,
        json_value(properties, '$."$import_row"') as import_row
    from {{ source('tidemill', 'events') }}
    where {{ tidemill.since('timestamp') }}
),

newest as (
    select *
    from events
    where true
    qualify row_number() over (
        partition by team_id, import_id, coalesce(import_row, uuid)
        order by coalesce(import_run, 0) desc, bq_ingested_timestamp desc, uuid desc
    ) = 1
)

select *
from newest
where not (event = '$deleted' and import_row is not null)
