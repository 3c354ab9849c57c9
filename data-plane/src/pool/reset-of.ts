/** How the cleaning of a server connection ended, as a value: pool.ts decides what follows. */
import type { Backend, Upstream } from '../upstream/upstream.ts';

/** Never throws. */
export async function resetOf<B extends Backend>(
  upstream: Upstream<B>,
  backend: B,
): Promise<'clean' | { readonly error: unknown }> {
  try {
    await upstream.reset(backend);
    return 'clean';
  } catch (error) {
    return { error };
  }
}
