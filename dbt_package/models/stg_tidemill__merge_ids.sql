{{ config(enabled=var('tidemill_use_amplitude', false)) }}

-- Each number that was merged into another one, with the number at the end of the chain: 5 into 4, 4 into 9 is 5 into 9.
-- BigQuery follows chains of up to 500 merges.
with recursive merges as (
    select *
    from {{ source('tidemill', 'merge_ids') }}
    where true
    qualify row_number() over (partition by amplitude_id order by merge_server_time asc) = 1
),

chains as (
    select amplitude_id, merged_amplitude_id, 1 as merge_count
    from merges
    union all
    select chains.amplitude_id, merges.merged_amplitude_id, chains.merge_count + 1
    from chains
    inner join merges on merges.amplitude_id = chains.merged_amplitude_id
),

ends as (
    select chains.amplitude_id, chains.merged_amplitude_id as resolved_amplitude_id, chains.merge_count
    from chains
    left join merges on merges.amplitude_id = chains.merged_amplitude_id
    where merges.amplitude_id is null
)

select
    merges.amplitude_id,
    merges.merged_amplitude_id,
    ends.resolved_amplitude_id,
    ends.merge_count,
    merges.merge_event_time,
    merges.merge_server_time
from merges
inner join ends on ends.amplitude_id = merges.amplitude_id
