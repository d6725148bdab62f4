{{ config(enabled=var('tidemill_use_persons', true)) }}

-- Each person once, as it is now, with all ids that it is known by.
with distinct_ids as (
    select * from {{ ref('stg_tidemill__person_distinct_ids') }}
),

known_by as (
    select
        team_id,
        person_id,
        array_agg(distinct_id order by distinct_id) as distinct_ids
    from distinct_ids
    group by team_id, person_id
),

newest as (
    select *
    from distinct_ids
    where true
    qualify row_number() over (
        partition by team_id, person_id
        order by person_version desc, bq_updated_timestamp desc, distinct_id asc
    ) = 1
)

select
    newest.team_id,
    newest.person_id,
    known_by.distinct_ids,
    newest.properties,
    newest.person_version,
    newest.created_at,
    newest.bq_updated_timestamp
from newest
inner join known_by
    on newest.team_id = known_by.team_id and newest.person_id = known_by.person_id
