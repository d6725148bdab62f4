{#- Leaves out what is older than the variable tidemill_days says: BigQuery does not read those partitions. -#}
{%- macro since(column) -%}
{%- if var('tidemill_days', none) is not none -%}
{{ column }} >= timestamp_sub(current_timestamp(), interval {{ var('tidemill_days') | int }} day)
{%- else -%}
true
{%- endif -%}
{%- endmacro -%}
