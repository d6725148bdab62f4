select
    people.person_id,
    people.name,
    people.email,
    count(paid.order_id) as paid_orders,
    coalesce(sum(paid.amount), 0) as spent
from {{ ref('stg_people') }} as people
left join {{ ref('paid_orders') }} as paid on people.person_id = paid.person_id
group by people.person_id, people.name, people.email
