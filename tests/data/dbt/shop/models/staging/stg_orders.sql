select id as order_id, person_id, status, amount / 100 as amount, ordered_on from {{ ref('raw_orders') }}
