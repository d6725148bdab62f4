select person_id, ordered_on, sum(amount) as amount
from {{ ref('stg_orders') }}
group by person_id, ordered_on
