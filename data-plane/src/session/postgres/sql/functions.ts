/**
 * Which built-in functions leave a session as it was. Everything that is not named here is unknown:
 * it may call set_config(), take a lock, open a large object, notify. Not here, among others:
 * nextval/setval/currval/lastval (a session's sequence values), lo_* and large object reads,
 * dblink*, pg_notify, pg_export_snapshot, pg_replication_*, what runs SQL given as text
 * (query_to_xml, table_to_xml, ts_stat, ts_rewrite …), what resolves a type by its name
 * (pg_input_is_valid), or builds rows of types that stand where no others do (json_to_record,
 * json_populate_record: `AS x (a my_domain)`). A name counts as the built-in one when it is
 * unqualified or in pg_catalog; whether a tenant has a function of that name in the way is for a
 * look-up in its catalog. tests/sql compares the lists with a real server's pg_proc.
 */
import type { QualifiedName } from './names.ts';

/**
 * - `reads`: neither changes nor waits for anything, and answers the same in every session that has
 *   the same parameters, be it by chance (random)
 * - `reads_session`: the same, but what it says is of the very session or server process
 * - `transactional`: nothing stays behind its transaction, but it waits, locks or takes a
 *   transaction id
 * - `advisory_lock`: takes a lock that the session keeps
 * - `set_config`: may be one or the other; see QueryFacts.setConfig
 * - `sequence`: changes or reads what the session remembers of sequences
 * - `seed`: makes the session's random numbers foreseeable
 * - `unknown`: anything
 */
export type FunctionEffect =
  | 'reads'
  | 'reads_session'
  | 'transactional'
  | 'advisory_lock'
  | 'set_config'
  | 'sequence'
  | 'seed'
  | 'unknown';

const AGGREGATE_AND_WINDOW = `
any_value array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count covar_pop covar_samp
cume_dist dense_rank every first_value json_agg json_agg_strict json_object_agg
json_object_agg_strict json_object_agg_unique json_object_agg_unique_strict jsonb_agg
jsonb_agg_strict jsonb_object_agg jsonb_object_agg_strict jsonb_object_agg_unique
jsonb_object_agg_unique_strict lag last_value lead max min mode nth_value ntile percent_rank
percentile_cont percentile_disc range_agg range_intersect_agg rank regr_avgx regr_avgy regr_count
regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy row_number stddev stddev_pop
stddev_samp string_agg sum var_pop var_samp variance xmlagg`;

const MATH = `
abs acos acosd acosh asin asind asinh atan atan2 atan2d atand atanh cbrt ceil ceiling cos cosd
cosh cot cotd degrees div erf erfc exp factorial floor gamma gcd lcm lgamma ln log log10 min_scale
mod pi pow power radians random random_normal round scale sign sin sind sinh sqrt tan tand tanh
trim_scale trunc width_bucket`;

const STRING_AND_BINARY = `
ascii bit_count bit_length btrim casefold char_length character_length chr concat concat_ws
convert convert_from convert_to crc32 crc32c decode encode format get_bit get_byte initcap
is_normalized left length like like_escape lower lpad ltrim md5 normalize notlike octet_length
overlay parse_ident position quote_ident quote_literal quote_nullable regexp_count regexp_instr
regexp_like regexp_match regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table
regexp_substr repeat replace reverse right rpad rtrim set_bit set_byte sha224 sha256 sha384 sha512
similar_escape similar_to_escape split_part starts_with string_to_array string_to_table strip
strpos substr substring to_ascii to_bin to_hex to_oct translate unicode_assigned unistr upper`;

const DATE_AND_TIME = `
age clock_timestamp date_add date_bin date_part date_subtract date_trunc extract isfinite
justify_days justify_hours justify_interval make_date make_interval make_time make_timestamp
make_timestamptz now overlaps statement_timestamp timeofday timezone to_char to_date to_number
to_timestamp transaction_timestamp`;

const JSON_AND_XML = `
array_to_json json_array_elements json_array_elements_text json_array_length json_build_array
json_build_object json_each json_each_text json_extract_path json_extract_path_text json_object
json_object_keys json_strip_nulls json_typeof
jsonb_array_elements jsonb_array_elements_text jsonb_array_length jsonb_build_array
jsonb_build_object jsonb_concat jsonb_contained jsonb_contains jsonb_delete jsonb_delete_path
jsonb_each jsonb_each_text jsonb_exists jsonb_exists_all jsonb_exists_any jsonb_extract_path
jsonb_extract_path_text jsonb_insert jsonb_object jsonb_object_keys jsonb_path_exists
jsonb_path_exists_tz jsonb_path_match jsonb_path_match_tz jsonb_path_query jsonb_path_query_array
jsonb_path_query_array_tz jsonb_path_query_first jsonb_path_query_first_tz jsonb_path_query_tz
jsonb_pretty jsonb_set jsonb_set_lax
jsonb_strip_nulls jsonb_typeof row_to_json to_json to_jsonb xml_is_well_formed
xml_is_well_formed_content xml_is_well_formed_document xmlcomment xmltext xpath xpath_exists`;

const ARRAY_AND_RANGE = `
array_append array_cat array_dims array_fill array_length array_lower array_ndims array_position
array_positions array_prepend array_remove array_replace array_reverse array_sample array_shuffle
array_sort array_to_string array_upper cardinality datemultirange daterange generate_series
generate_subscripts int4multirange int4range int8multirange int8range isempty lower_inc lower_inf
multirange num_nonnulls num_nulls nummultirange numrange range_merge trim_array tsmultirange
tsrange tstzmultirange tstzrange unnest upper_inc upper_inf`;

const TEXT_SEARCH = `
array_to_tsvector get_current_ts_config json_to_tsvector jsonb_to_tsvector numnode
phraseto_tsquery plainto_tsquery querytree setweight to_tsquery to_tsvector ts_delete ts_filter
ts_headline ts_lexize ts_rank ts_rank_cd tsquery_phrase tsvector_to_array websearch_to_tsquery`;

const NETWORK_GEOMETRY_UUID_ENUM = `
abbrev area bound_box box broadcast center circle diagonal diameter enum_first enum_last
enum_range family gen_random_uuid height host hostmask inet_merge inet_same_family isclosed isopen
line lseg macaddr8_set7bit masklen netmask network npoints path pclose point polygon popen radius
set_masklen slope uuid_extract_timestamp uuid_extract_version uuidv4 uuidv7 width`;

/** Names of types that are called like functions to convert. */
const CONVERSIONS = `
bit bool bpchar bytea char cidr date float4 float8 int2 int4 int8 interval macaddr macaddr8 money
name numeric oid regclass text time timestamp timestamptz timetz varbit varchar xml`;

const CATALOG = `
acldefault aclexplode col_description current_database current_schema current_schemas current_user
format_type getdatabaseencoding has_any_column_privilege has_column_privilege
has_database_privilege has_foreign_data_wrapper_privilege has_function_privilege
has_language_privilege has_parameter_privilege has_schema_privilege has_sequence_privilege
has_server_privilege has_table_privilege has_tablespace_privilege has_type_privilege makeaclitem
mxid_age obj_description oidvectortypes pg_basetype pg_blocking_pids pg_char_to_encoding
pg_client_encoding pg_collation_for pg_collation_is_visible pg_column_compression
pg_column_is_updatable pg_column_size pg_conversion_is_visible pg_current_snapshot
pg_current_wal_flush_lsn pg_current_wal_insert_lsn pg_current_wal_lsn
pg_current_xact_id_if_assigned pg_database_size pg_describe_object pg_encoding_max_length
pg_encoding_to_char pg_function_is_visible pg_get_constraintdef pg_get_expr
pg_get_function_arg_default pg_get_function_arguments pg_get_function_identity_arguments
pg_get_function_result pg_get_function_sqlbody pg_get_functiondef pg_get_indexdef pg_get_keywords
pg_get_object_address pg_get_partition_constraintdef pg_get_partkeydef pg_get_ruledef
pg_get_serial_sequence pg_get_statisticsobjdef pg_get_triggerdef pg_get_userbyid pg_get_viewdef
pg_has_role pg_identify_object pg_identify_object_as_address pg_index_column_has_property
pg_index_has_property pg_indexam_has_property pg_indexes_size pg_is_in_recovery
pg_is_wal_replay_paused pg_jit_available pg_last_wal_receive_lsn pg_last_wal_replay_lsn
pg_last_xact_replay_timestamp pg_lock_status pg_opclass_is_visible pg_operator_is_visible
pg_opfamily_is_visible pg_options_to_table pg_partition_ancestors pg_partition_root
pg_partition_tree pg_postmaster_start_time pg_relation_filenode pg_relation_filepath
pg_relation_is_updatable pg_relation_size pg_safe_snapshot_blocking_pids pg_sequence_parameters
pg_settings_get_flags pg_size_bytes pg_size_pretty pg_snapshot_xip pg_snapshot_xmax
pg_snapshot_xmin pg_stat_get_activity pg_stat_get_backend_idset pg_stat_get_backend_pid
pg_stat_get_backend_userid pg_stat_get_dead_tuples pg_stat_get_live_tuples
pg_stat_get_mod_since_analyze pg_stat_get_numscans pg_stat_get_progress_info
pg_stat_get_tuples_deleted pg_stat_get_tuples_inserted pg_stat_get_tuples_updated
pg_stat_get_wal_senders pg_statistics_obj_is_visible pg_table_is_visible pg_table_size
pg_tablespace_databases pg_tablespace_location pg_tablespace_size pg_timezone_names
pg_total_relation_size pg_trigger_depth pg_ts_config_is_visible pg_ts_dict_is_visible
pg_ts_parser_is_visible pg_ts_template_is_visible pg_type_is_visible pg_typeof
pg_visible_in_snapshot pg_wal_lsn_diff row_security_active session_user shobj_description
system_user to_regclass to_regcollation to_regnamespace to_regoper to_regoperator to_regproc
to_regprocedure to_regrole to_regtype txid_current_if_assigned txid_current_snapshot
txid_snapshot_xip txid_snapshot_xmax txid_snapshot_xmin txid_visible_in_snapshot version`;

/**
 * A parameter may be one that the proxy has given a backend (default_transaction_read_only,
 * application_name), and a process or a port is a backend's own. So is what it holds: temporary
 * schema, channels. Others say the same on any: now() is of the batch's own transaction, which has
 * no id (txid_current_if_assigned); current_schemas, pg_client_encoding and current_user follow
 * parameters that a client has everywhere; random() is anybody's, as clients with a seed of their
 * own keep their backends.
 */
const SESSION = `
current_query current_setting inet_client_addr inet_client_port inet_server_addr inet_server_port
pg_backend_pid pg_conf_load_time pg_is_other_temp_schema pg_listening_channels pg_my_temp_schema
pg_show_all_settings`;

/** TABLESAMPLE methods. */
const SAMPLING = `bernoulli system`;

const TRANSACTIONAL = `
pg_advisory_xact_lock pg_advisory_xact_lock_shared pg_current_xact_id pg_sleep pg_sleep_for
pg_sleep_until pg_try_advisory_xact_lock pg_try_advisory_xact_lock_shared txid_current`;

const ADVISORY_LOCK = `
pg_advisory_lock pg_advisory_lock_shared pg_try_advisory_lock pg_try_advisory_lock_shared`;

const SEQUENCE = `currval lastval nextval setval`;

export const FUNCTION_EFFECTS: ReadonlyMap<string, FunctionEffect> = new Map([
  ...namesOf('reads', AGGREGATE_AND_WINDOW, MATH, STRING_AND_BINARY, DATE_AND_TIME),
  ...namesOf('reads', JSON_AND_XML, ARRAY_AND_RANGE, TEXT_SEARCH, NETWORK_GEOMETRY_UUID_ENUM),
  ...namesOf('reads', CONVERSIONS, CATALOG, SAMPLING),
  ...namesOf('reads_session', SESSION),
  ...namesOf('transactional', TRANSACTIONAL),
  ...namesOf('advisory_lock', ADVISORY_LOCK),
  ...namesOf('sequence', SEQUENCE),
  ...namesOf('set_config', 'set_config'),
  ...namesOf('seed', 'setseed'),
]);

function namesOf(effect: FunctionEffect, ...lists: readonly string[]): [string, FunctionEffect][] {
  return lists.flatMap((list) =>
    list
      .trim()
      .split(/\s+/)
      .map((name): [string, FunctionEffect] => [name, effect]),
  );
}

export function functionEffect(name: QualifiedName): FunctionEffect {
  const builtIn = name.length === 1 || (name.length === 2 && name[0] === 'pg_catalog');
  return (builtIn ? FUNCTION_EFFECTS.get(name.at(-1) as string) : undefined) ?? 'unknown';
}
