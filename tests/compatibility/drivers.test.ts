/**
 * The drivers and query builders of JavaScript do their ordinary work through the proxy.
 */
import { it } from 'node:test';
import { testSuites } from './run-suites.ts';
import { DRIVERS } from './suites/all.ts';

const suites = testSuites(DRIVERS);

it('leaves no client and no lease behind', () => suites.atRest());
