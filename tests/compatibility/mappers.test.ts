/**
 * The object mappers of JavaScript do their ordinary work through the proxy.
 */
import { it } from 'node:test';
import { testSuites } from './run-suites.ts';
import { MAPPERS } from './suites/all.ts';

const suites = testSuites(MAPPERS);

it('leaves no client and no lease behind', () => suites.atRest());
