/**
 * Suites in other languages: programs/ holds them, each a program that is told one case after
 * another and says what came of it.
 * Owns: the conversation, a line each. "case NAME" is answered by "passed" or "failed WORDS";
 * before that the program may say "restart" or "running TEXT" and is answered "done" once that is
 * so.
 * Leaves: what a case does to programs/, which programs there are to suites/.
 */
import { spawn } from 'node:child_process';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Cases, Place } from './suite.ts';

export const PROGRAMS = join(import.meta.dirname, 'programs');

export interface Launch {
  readonly command: string;
  readonly args: readonly string[];
}

/** The cases that the source of a program names, in its order; each runs in the program. */
export function programCases(source: string, launch: () => Launch): Cases {
  const text = readFileSync(join(PROGRAMS, source), 'utf8');
  const names = Array.from(text.matchAll(/@[Cc]ase\("(.+)"\)/g), ([, name]) => name ?? '');
  const programs = new Map<string, SuiteProgram>();
  const run = async (name: string, place: Place): Promise<void> => {
    let program = programs.get(place.database);
    if (program === undefined || !program.isFree) {
      program?.kill();
      program = new SuiteProgram(launch(), place);
      programs.set(place.database, program);
    }
    await program.run(name, place);
  };
  return Object.fromEntries(names.map((name) => [name, (place: Place) => run(name, place)]));
}

/**
 * One program at one place. It ends with this process, whose end is the end of its input, and does
 * not keep this process from ending.
 */
class SuiteProgram {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: string[] = [];
  #errors = '';
  #wake: () => void = () => {};
  #state: 'free' | 'busy' | 'ended' = 'free';

  constructor({ command, args }: Launch, place: Place) {
    this.#child = spawn(command, args, {
      env: { PATH: process.env['PATH'], LC_ALL: 'C.UTF-8', ...variablesOf(place) },
    });
    const { stdin, stdout, stderr } = this.#child;
    // Its end is heard of as such.
    stdin.on('error', () => {});
    stderr.setEncoding('utf8').on('data', (text: string) => (this.#errors += text));
    createInterface({ input: stdout }).on('line', (line) => {
      this.#lines.push(line);
      this.#wake();
    });
    this.#child.once('close', () => {
      this.#state = 'ended';
      this.#wake();
    });
    this.#child.unref();
    for (const pipe of [stdin, stdout, stderr]) (pipe as Socket).unref();
  }

  /** Whether it waits for a case: not so after one that took too long. */
  get isFree(): boolean {
    return this.#state === 'free';
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  /** @throws Error with the program's words when the case fails */
  async run(name: string, place: Place): Promise<void> {
    this.#state = 'busy';
    this.#say(`case ${name}`);
    for (;;) {
      const answer = await this.#hear();
      const [word, ...rest] = answer.split(' ');
      if (word === 'restart') await place.restartServer();
      else if (word === 'running') await place.untilRunning(rest.join(' '));
      else {
        this.#state = 'free';
        if (word === 'passed') return;
        throw new Error(answer.replaceAll('\t', '\n'));
      }
      this.#say('done');
    }
  }

  #say(line: string): void {
    this.#child.stdin.write(`${line}\n`);
  }

  async #hear(): Promise<string> {
    for (;;) {
      const line = this.#lines.shift();
      if (line !== undefined) return line;
      if (this.#state === 'ended') throw new Error(`the program has ended: ${this.#errors}`);
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

function variablesOf(place: Place): Readonly<Record<string, string>> {
  return {
    PLACE_HOST: place.host,
    PLACE_PORT: String(place.port),
    PLACE_USER: place.user,
    PLACE_PASSWORD: place.password,
    PLACE_DATABASE: place.database,
    PLACE_CLIENTS_MAX: String(place.clientsMax),
  };
}
