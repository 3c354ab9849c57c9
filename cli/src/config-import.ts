/**
 * `dbbouncer config import`: files of others as a config file, or applied through the REST API.
 * Owns: reading the files, what goes where. Leaves: what they mean to import/.
 */
import { readFileSync, statSync } from 'node:fs';
import { dirname, isAbsolute, join, resolve } from 'node:path';
import { CONFIG_FILE_BYTES_MAX } from '@dbbouncer/shared/settings/config-file.ts';
import { NOT_UTF8, readUtf8 } from '@dbbouncer/shared/files/utf8-text.ts';
import type { SettingsInput } from '@dbbouncer/shared/settings/resolve.ts';
import { sharedErrors } from '@dbbouncer/shared/errors.ts';
import { applyImport } from './apply-import.ts';
import { EXIT, pathFailure } from './exit.ts';
import type { ExitCode } from './exit.ts';
import { importCsv } from './import/csv.ts';
import { fileOfImport } from './import/file-of-import.ts';
import { Findings, formatFaults, formatNotes } from './import/findings.ts';
import type { Imported } from './import/imported.ts';
import { importPgbouncer } from './import/pgbouncer.ts';
import { faultOfFile, UnreadableText } from './import/read-text.ts';
import type { ReadText } from './import/read-text.ts';
import { putOut } from './output.ts';
import { RestClient } from './rest-client.ts';

export interface ImportOptions {
  readonly output?: string | undefined;
  readonly apply?: boolean | undefined;
  readonly dryRun?: boolean | undefined;
  readonly api?: string | undefined;
  readonly apiKeyFile?: string | undefined;
}

export interface PgbouncerOptions extends ImportOptions {
  readonly userlist?: string | undefined;
}

export interface CsvOptions extends ImportOptions {
  readonly delimiter: string;
}

export async function runPgbouncerImport(
  input: SettingsInput,
  file: string,
  options: PgbouncerOptions,
): Promise<ExitCode> {
  const read = textReader(input.cwd);
  return await finish(input, options, (findings) =>
    importPgbouncer({ ini: file, userlist: options.userlist, read }, findings),
  );
}

export async function runCsvImport(
  input: SettingsInput,
  file: string,
  options: CsvOptions,
): Promise<ExitCode> {
  const { delimiter } = options;
  if (delimiter.length !== 1 || /["\r\n]/.test(delimiter)) {
    throw sharedErrors.fail('SETTINGS_INVALID', '--delimiter must be one character, as in ";".');
  }
  const read = textReader(input.cwd);
  return await finish(input, options, (findings) => {
    const text = textOf(file, read, findings);
    return importCsv({ file, text, delimiter }, findings);
  });
}

/** Nothing where it cannot be read, which is a fault then. */
function textOf(file: string, read: ReadText, findings: Findings): string {
  try {
    return read(file, undefined).text;
  } catch (error) {
    faultOfFile(findings, error, file, { file, line: 1 });
    return '';
  }
}

/** Nothing is printed or applied of a file with a fault. */
async function finish(
  { env, cwd }: SettingsInput,
  options: ImportOptions,
  read: (findings: Findings) => Imported,
): Promise<ExitCode> {
  const { apply = false, dryRun = false, api, apiKeyFile, output } = options;
  if (apply !== (api !== undefined) || (dryRun && !apply)) {
    throw sharedErrors.fail('SETTINGS_INVALID', '--apply needs --api URL; --dry-run needs both.');
  }
  const client = api === undefined ? undefined : new RestClient({ api, apiKeyFile }, env);
  const findings = new Findings();
  const imported = read(findings);
  const text = findings.faults.length === 0 ? fileOfImport(imported, findings) : '';
  if (findings.faults.length > 0) {
    tell(formatFaults(findings.faults));
    return EXIT.failure;
  }
  tell(formatNotes(findings.notes));
  if (client === undefined) {
    putOut(text, output, cwd);
    return EXIT.ok;
  }
  const applied = await applyImport(imported, client, dryRun ? 'dry_run' : 'commit');
  process.stdout.write(`${applied}\n`);
  return EXIT.ok;
}

function tell(lines: readonly string[]): void {
  process.stderr.write(lines.map((line) => `${line}\n`).join(''));
}

/** Paths in a file are relative to its folder. */
function textReader(cwd: string): ReadText {
  return (path, from) => {
    const within = from === undefined || isAbsolute(path) ? path : join(dirname(from), path);
    const file = resolve(cwd, within);
    const size = sizeOf(file);
    if (size > CONFIG_FILE_BYTES_MAX) {
      throw new Error(`it has ${size} bytes; ${CONFIG_FILE_BYTES_MAX} are allowed`);
    }
    const reading = readUtf8(bytesOf(file));
    if (reading.outcome === 'text') return { path: within, text: reading.text };
    const { line, column } = reading;
    throw new UnreadableText({ file: within, line, column }, `it ${NOT_UTF8}`);
  };
}

function bytesOf(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    const failure = error as NodeJS.ErrnoException;
    throw new Error(pathFailure(failure) ?? failure.message, { cause: error });
  }
}

/** @throws Error that says why it is no file to read. */
function sizeOf(file: string): number {
  const stat = statSync(file, { throwIfNoEntry: false });
  if (stat === undefined) throw new Error('there is no such file');
  if (stat.isDirectory()) throw new Error('it is a folder; name the file in it');
  if (!stat.isFile()) throw new Error('it is no file: a pipe, a socket or a device');
  return stat.size;
}
