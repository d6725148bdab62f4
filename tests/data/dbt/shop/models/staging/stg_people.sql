select id as person_id, name, email from {{ ref('raw_people') }}
