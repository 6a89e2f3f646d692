// Where the parts of a backup lie on a machine: as in the data folder of `serve`.
import { join } from 'node:path'
import { DATABASE_FILE, KEY_HOLDER_FOLDER, TRUST_SERVER_FOLDER } from '../../supervisor/data-folder.ts'

/** In the data folder of a trust server. */
export const TRUST_SERVER_DATABASE = 'trust-server.db'

export const LAYOUT = {
  daemon: DATABASE_FILE,
  trustServer: join(TRUST_SERVER_FOLDER, 'state', TRUST_SERVER_DATABASE),
  keyHolder: join(KEY_HOLDER_FOLDER, 'state'),
  limits: join(KEY_HOLDER_FOLDER, 'limits.yaml'),
  unlockKey: join(KEY_HOLDER_FOLDER, 'unlock.key'),
} as const
