/**
 * The settings of the REST API's own protection, a part of setting-list.ts.
 */
import { choice, wholeNumber } from './setting-kinds.ts';
import { setting } from './setting-spec.ts';

export const API_SETTINGS = Object.freeze({
  environment: setting<'production' | 'development'>({
    env: 'DBBOUNCER_ENVIRONMENT',
    yaml: 'environment',
    default: 'production',
    description: 'In development, API keys of fewer than 16 characters may be created',
    read: choice(['production', 'development']),
  }),
  apiRequestsPerMinute: setting<number>({
    env: 'DBBOUNCER_API_REQUESTS_PER_MINUTE',
    yaml: 'api.requests_per_minute',
    default: 60_000,
    description: 'Requests that the holder of an API key may send from one address in a minute',
    read: wholeNumber(1, 100_000_000),
  }),
  apiRequestsPerMinuteWithoutKey: setting<number>({
    env: 'DBBOUNCER_API_REQUESTS_PER_MINUTE_WITHOUT_KEY',
    yaml: 'api.requests_per_minute_without_key',
    default: 300,
    description: 'Requests that an address may send in a minute without a valid API key',
    read: wholeNumber(1, 100_000_000),
  }),
  apiBodyBytesMax: setting<number>({
    env: 'DBBOUNCER_API_BODY_BYTES_MAX',
    yaml: 'api.body_bytes_max',
    default: 262_144,
    description: 'Bytes that the body of a request to the API may have',
    read: wholeNumber(1_024, 16_777_216),
  }),
});
