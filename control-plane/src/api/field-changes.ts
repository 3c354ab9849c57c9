/** How answers tell what differs, field by field. */
import { z } from 'zod';

const changeSchema = z
  .strictObject({
    field: z.string().meta({
      description: 'As in the tenant, with dots into what is nested.',
      examples: ['max_connections', 'server_tls.mode', 'users.ann.pool_mode'],
    }),
    from: z.unknown().meta({ description: 'null: there was none, or the default held.' }),
    to: z.unknown().meta({ description: 'Of a secret no more than "changed".' }),
  })
  .meta({ id: 'FieldChange', examples: [{ field: 'max_connections', from: 10, to: 20 }] });

export const changesSchema = z.array(changeSchema);
