{{ config(enabled=var('tidemill_use_persons', true)) }}

-- The person that each distinct_id belongs to now; those of people who were deleted are not there.
with newest as (
    select *
    from {{ source('tidemill', 'persons') }}
    where true
    qualify row_number() over (
        partition by team_id, distinct_id
        order by person_version desc, person_distinct_id_version desc, bq_updated_timestamp desc
    ) = 1
)

select
    team_id,
    distinct_id,
    person_id,
    properties,
    person_version,
    created_at,
    bq_updated_timestamp
from newest
where not coalesce(is_deleted, false)
