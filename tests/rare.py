"""Tests that take long and are the like of others: `make torture` runs them, `make test` has the others."""

from __future__ import annotations

import functools
import re

from tests import hosts

#: Where hosts may be made, test_many_machines.py kills workers that merge, and backfills.
_WITHOUT_HOSTS = re.compile(r"test_kill_(merges|workers|backfills|at_work)\.py::")
_PATTERNS = (
    r"test_kill\.py::test_a_backfill_that_was_stopped_does_not_end_as_if_it_were_done\[(ctrl-c|cancel)\]",
    r"test_kill\.py::test_killed_again_and_again_by_write_streams_every_event_is_there_once",
    r"test_kill_at_work\.py::.*\[run\]",
    r"test_kill_stream\.py::test_bigquery_is_killed$",
    r"test_kill_backfills\.py::test_a_backfill_that_is_killed_with_many_intervals_on_their_way",
    r"test_power_cut\.py::test_a_power_cut_at_any_step(_of_a_run_that_merges)?\[storage-write",
    r"test_power_cut\.py::test_a_power_cut_at_any_step_of_a_run_that_merges\[load",
    r"test_kill\.py::test_a_backfill_that_was_stopped_does_not_end_as_if_it_were_done\[pause\]",
    r"test_kill_commits\.py::test_a_process_that_dies_while_its_commit_is_at_work\[(done-persons|not done-events)\]",
    r"test_kill_stream\.py::test_(a_power_cut|who_was_asleep_does_no_harm)",
    r"test_serve_streams\.py::test_a_stream_that_is_made_later_is_moved_too",
    r"test_erasure\.py::test_a_session_in_which_others_have_a_part_stays_theirs\[12\]",
    r"test_plan_kills\.py::.*\[warehouse-[1-9]",
    r"test_write_back\.py::test_answers_that_are_lost_double_nothing",
    r"test_backups\.py::test_a_damaged_backup_is_refused\[backup\.tar\]",
    r"test_migrate\.py::test_(one_that_fails_leaves_the_old_one_as_it_was\[_copied\]|one_that_is_killed)",
    r"test_embedded_upgrade\.py::test_(killed_while_it_copies|programs_that_are_not_installed)",
    r"test_merge_faults\.py::test_a_fault_changes_nothing\[(?!503 after)",
    r"test_merge_faults\.py::test_a_run_that_fails_changes_nothing_and_the_next_one_goes_on\[(?!a MERGE)",
    r"test_large_rows\.py::test_large_rows_that_compress_well",
    r"test_partitions\.py::test_rows_of_many_partitions_are_merged_a_part_at_a_time\[sessions\]",
    r"test_storage_write\.py::test_other_models_are_as_by_load_jobs\[(sessions-False|amplitude_events-True|persons-True)\]",
    r"test_storage_write_faults\.py::test_a_fault_changes_nothing_of_rows_that_are_merged\[(?!a commit.*(off|gone)\])",
    r"test_storage_write\.py::test_rows_of_any_size_go_through",
    r"test_storage_write_faults\.py::test_a_fault_changes_nothing\[(?!.*commit)",
    r"test_storage_write_faults\.py::test_seeded_faults_change_nothing\[[02-5]\]",
    r"test_stream_metrics\.py::test_a_server_counts_what_its_streams_send\[1\]",
    r"test_kill_syncs\.py::test_commands_that_are_killed_anywhere$",
    r"test_kill_syncs\.py::test_a_run_that_is_killed_and_cancelled\[read-only\]",
    r"test_sdks_python\.py::test_the_same_of_two_workers",
    r"test_command_line\.py::test_an_embedded_bigquery_that_is_stopped",
    r"test_run_again\.py::test_a_finished_run_that_is_run_again_leaves_the_table_as_it_is\[(amplitude_events|merge_ids)\]",
    r"test_run_again\.py::test_a_row_that_is_no_event_is_sent_once_it_fits\[(backfill|next run)-persons\]",
    r"test_storage_write\.py::test_other_models_are_as_by_load_jobs\[(amplitude_events-False|merge_ids-True)\]",
    r"test_storage_write\.py::test_all_types_of_a_query_are_as_by_load_jobs\[(False-key1|True-key0)\]",
    r"test_gate_kill\.py::test_a_job_that_was_done_is_known_after_a_kill.*\[(insert|delete|truncate|script)\]",
    r"test_merge_faults\.py::test_a_backfill_with_a_fault",
    r"test_schedule_troubles\.py::test_what_was_cancelled_because_the_process_stops",
    r"test_plan_kills\.py::.*\[read_only-[1-9]",
    r"test_people_and_events\.py::test_(?!events_are_those|an_import_that_is_killed|people_are_set|an_event_tells).*\[read-only\]",
    r"test_cursor\.py::test_a_cursor_that_says_nothing_of_when_is_set_aside\[warehouse",
    r"test_ga4\.py::test_each_event_comes_once_though_tables_are_rewritten\[read-only\]",
    r"test_deleting\.py::test_(a_run_of_a_worker_is_stopped|what_does_not_stop_in_time|a_load_that_takes_long)",
    r"test_deleting_syncs\.py::test_(a_worker_that_delivers|a_sync_in_the_middle_of_a_delivery_is_stopped\[read-only\])",
    r"test_dbt_cloud\.py::test_(syncs_of_what_it_did_not_build.*steps1|the_command_line_shows|a_token_that_is_refused)",
    r"test_kill_imports\.py::test_imports_of_several_processes_at_once",
    r"test_imports\.py::",
    r"test_power_cut\.py::test_a_power_cut_at_any_step\[load-after-3",
    r"test_source_commands\.py::test_(what_is_wrong_with_a_model_is_said|a_models_rows_are_shown)",
    r"test_merge_faults\.py::test_without_the_right_to_drop_tables",
    r"test_erasure\.py::test_of_a_shared_device",
    r"test_plan_against_reference\.py::test_of_a_source_that_is_only_read",
    r"test_cursor\.py::test_(a_cursor_that_says_nothing|it_is_what_plain).*\[read_only\]",
    r"test_backfill\.py::test_events_of_any_time_come_back\[(hour|week)\]",
    r"test_kill_stream\.py::test_a_second_process_is_told",
    r"test_kill\.py::test_an_export_that_was_killed_can_be_deleted",
    r"test_serve_schedules\.py::test_a_worker_that_is_(frozen|killed)",
    r"test_stream_faults\.py::test_each_event.*\[(it breaks again|an internal error|a quota|the same, .*(5|9) req)",
    r"test_stream_faults\.py::test_each_event.*\[(the connection breaks before|it breaks, and the stream|a new stream)",
    r"test_stream_faults\.py::test_each_event.*\[(rows that were not sent are said to be there\]|the same, while)",
    r"test_stream_faults\.py::test_whoever_goes_on_knows_what_is_there\[(False|True)-5\]",
    r"test_stream_faults\.py::test_seeded_faults_change_nothing\[[2-9]\]",
    r"test_plan_orders\.py::test_each_type_that_is_a_time_can_be_planned_by\[(BIGNUMERIC|NUMERIC|STRING|DATETIME|INT64-s)",
    r"test_run_again\.py::test_a_finished_run_that_is_run_again_leaves_the_table_as_it_is\[sessions",
    r"test_run_again\.py::test_a_row_that_is_no_event_is_sent_once_it_fits\[(retry|backfill)-sessions",
    r"test_faults\.py::test_a_fault_changes_nothing\[(429 with|errors while jobs|.*jobRate|403 quota)",
    r"test_faults\.py::test_seeded_faults_change_nothing\[[23]\]",
    r"test_changing_files\.py::test_a_file_that_changes_while_it_loads_loses_no_event\[(cut|replaced)",
    r"test_storage_write_faults\.py::test_a_fault_changes_nothing\[(no commit|streams that are gone)",
    r"test_storage_write_faults\.py::test_a_commit_that_nobody_heard_of_is_settled_by_the_next_attempt\[(F.*F|T.*T)",
    r"test_kill_syncs\.py::test_(a_worker_that_is_killed_in_a_scheduled_sync|a_run_that_is_killed_and_cancelled)",
    r"test_kill_imports\.py::test_(imports_that_are_killed_anywhere|an_import_that_is_killed_and_cancelled)",
    r"test_undelivered\.py::test_a_resend_that_fails_is_gone_on_with_by_the_next_run\[fields[12]",
    r"test_oldest_first\.py::test_events_are_committed_oldest_first\[(None|3)",
    r"test_syncs\.py::test_rows_that_were_on_their_way.*\[Journal",
    r"test_write_client\.py::test_killed_in_the_middle_of_appends_rows_are_there_once\[True",
    r"test_amplitude_export\.py::test_a_value_that_bigquery_has_not_is_null.*(BC|sample_rate|processed_time|99999999)",
    r"test_sync_rejects\.py::test_chosen_rows_are_tried_again_and_nothing_else_is\[fields[12]",
    r"test_backfill\.py::test_what_cannot_be_is_said\[given[1-46]",
    r"test_identity\.py::test_an_amplitude_id_that_stands_for_nobody_joins_nobody\[(-1|0000|Undef|unk)",
    r"test_refusals\.py::test_what_was_set_aside_is_taken_later.*\[(0-T|3600-F)",
    r"test_kill\.py::test_ctrl_c_cancels_the_run_and_the_next_one_goes_on",
    r"test_object_store_machines\.py::test_killed_while_an_object_is_asked_for",
    r"test_serve_schedules\.py::test_a_server_may_have_more_processes_that_move_runs",
    r"test_kill_operations\.py::test_an_undo_whose_worker_is_killed",  # that of a deletion stays
    # Of pages `make test` looks at light ones on a phone, and dark ones on a desk.
    r"test_web_(pages|pimp|psyn)\.py::.*(by_everybody|use_each_page)\[.*others",
    r"test_stream_faults\.py::test_each_event.*\[(rows that were taken are said to be too|it breaks, and every)",
    r"test_kill\.py::test_killed_half_a_dozen_times",  # test_many_machines.py, test_power_cut.py
    r"test_run_again\.py::test_a_finished_run_that_is_run_again_leaves_the_table_as_it_is\[persons",
    r"test_stream_faults\.py::test_each_event.*\[(an answer says|the stream is forgotten at once|the call ends for no)",
    r"test_stream_faults\.py::test_each_event.*\[(rows that were (taken|not sent)|the same, behind|nobody knows)",
    r"test_custom_export\.py::test_a_query_that_fails_later.*(BIGINT|10000-0|na\b|UHUGEINT)",
    r"test_migrate\.py::test_of_events_alone_one_that_(is_killed_is_run_again\[(copying|marked)|fails_changes_nothing)",
    r"test_plan_orders\.py::test_each_type_that_is_a_time_can_be_planned_by\[(DATE|INT64-milli|FLOAT64-(milli|micro))",
    r"test_storage_write_attempts\.py::test_an_interrupt_is_seen.*\[.*(GetWriteStream|FinalizeWriteStream|BatchCommit)",
    r"test_package_files\.py::test_dbt_parses_it_without_a_warning.*\[True",
    r"test_event_store\.py::test_ids_that_are_cut_or_mended_stay_different\[(segment|amplitude|jsonl)",
    r"test_(run_figures|trials|oldest_first)\.py::.*\[read-only\]",
    r"test_syncs\.py::test_it_is_the_same_by_other_ways\[read-only",
    r"test_cursor\.py::test_it_looks_back_as_far_as_it_is_to\[read_only",
    r"test_sync_rejects\.py::test_a_row_whose_key_no_text_can_hold.*\[read-only",
    r"test_streaming_permissions\.py::test_whatever_goes_wrong_the_row_is_there_once\[faults(2|5|7|8|9|10)-",
    r"test_client_against_local\.py::test_whatever_goes_wrong.*\[(cut-PUT1|status-(POST429|POST403|PUT503_0|GET500))",
    r"test_dbt_package\.py::test_its_statements_say_what_the_tables_hold\[JSON",
    r"test_plan_sql\.py::test_a_model_of_a_thousand_columns",
    r"test_serve_notify\.py::test_a_message_that_is_on_its_way",
    r"test_serve_sync_notify\.py::",  # test_serve_notify.py, test_sync_alarms.py
    r"test_standing\.py::test_for_how_long_it_was_tried_is_not_told_of_a_stream",
    r"test_stream_quiet\.py::test_backfills_and_runs_again_go_on_beside_a_stream",
    r"test_import_commands\.py::test_a_sync_to_another_tool_is_no_import",
    r"test_gate_kill\.py::test_wherever_it_is_killed",
    r"test_write_client\.py::test_killed_in_the_middle_of_appends_rows_are_there_once",
)
_RARE = re.compile("|".join(f"(?:{pattern})" for pattern in _PATTERNS))


def is_rare(name: str) -> bool:
    """Whether a test, by its full name, is one of them."""
    return bool(_RARE.search(name) or (_WITHOUT_HOSTS.search(name) and _possible()))


@functools.cache
def _possible() -> bool:
    return hosts.possible()
