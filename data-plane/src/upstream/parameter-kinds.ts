/**
 * Which session parameters the meaning of later texts depends on: how they are cut into tokens, and
 * what names and literals in them stand for when a statement is parsed.
 * Source: PostgreSQL manual, "Server Configuration"; src/backend/parser/parse_coerce.c (a literal
 * is converted when its statement is parsed, so time zone and date style count).
 */

/** Those that change how a text is read at all. */
const LEXING: ReadonlySet<string> = new Set(['client_encoding', 'standard_conforming_strings']);

/** What is parsed is the same whatever these are; parameters of two parts are of this kind too. */
const INDIFFERENT: ReadonlySet<string> = new Set(
  `application_name backend_flush_after bytea_output client_connection_check_interval
  client_min_messages commit_delay cursor_tuple_fraction deadlock_timeout
  default_transaction_deferrable default_transaction_isolation default_transaction_read_only
  effective_cache_size effective_io_concurrency exit_on_error extra_float_digits
  gin_pending_list_limit hash_mem_multiplier idle_in_transaction_session_timeout
  idle_session_timeout lock_timeout logical_decoding_work_mem maintenance_io_concurrency
  maintenance_work_mem max_parallel_maintenance_workers max_parallel_workers
  max_parallel_workers_per_gather max_stack_depth parallel_leader_participation
  statement_timeout synchronous_commit temp_buffers temp_file_limit tcp_keepalives_count
  tcp_keepalives_idle tcp_keepalives_interval tcp_user_timeout transaction_timeout
  vacuum_cost_delay vacuum_cost_limit work_mem`.split(/\s+/),
);
const INDIFFERENT_FAMILIES =
  /^(?:auto_explain|debug|enable|geqo|jit|log|parallel|track)_|_cost$|\./;

export type ParsingEffect = 'nothing' | 'parsing' | 'lexing';

/** What else changes with the parameter of this name, in lower case. */
export function parsingEffect(name: string): ParsingEffect {
  if (LEXING.has(name)) return 'lexing';
  return INDIFFERENT.has(name) || INDIFFERENT_FAMILIES.test(name) ? 'nothing' : 'parsing';
}
