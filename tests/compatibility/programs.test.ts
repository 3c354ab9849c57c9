/**
 * The drivers of other languages do their ordinary work through the proxy. Where one is not
 * installed its cases are skipped, with the name of the package that brings it.
 */
import { it } from 'node:test';
import { testSuites } from './run-suites.ts';
import { PROGRAMS } from './suites/all.ts';

const suites = testSuites(PROGRAMS);

it('leaves no client and no lease behind', () => suites.atRest());
