// What is in a backup: its files in their order, and the page that says what they are.
import * as z from 'zod'
import { damagedBackup } from './errors.ts'

/** The files of the archive. The manifest comes first, the largest last. */
export const MEMBERS = {
  manifest: 'backup.json',
  daemon: 'countersign.db',
  trustServer: 'trust-server.db',
  limits: 'limits.yaml',
  secrets: 'unlock-key.json',
  keyHolder: 'key-holder.db',
} as const

export const MAX_MANIFEST_BYTES = 64 * 1024

const size = z.int().min(1)
const hex64 = z.string().regex(/^[0-9a-f]{64}$/)

const schema = z.object({
  /** Of what is in the archive. A later one may say more; what is here keeps its meaning. */
  format: z.literal(1),
  madeAt: z.iso.datetime(),
  /** Of Countersign. */
  version: z.string(),
  keyHolder: z.object({
    bytes: size,
    sha256: hex64,
    repositories: z.int().min(0),
    keys: z.int().min(0),
    /** Keys that are not in it, by the label of their token. */
    inTokens: z.array(z.object({ label: z.string(), keys: z.int().min(1) })).optional(),
    log: z.object({ origin: z.string(), size, publicKey: z.string(), checkpoint: z.string() }),
  }),
  /** Absent: was not on this machine, or not asked for. */
  daemon: z.object({ bytes: size }).optional(),
  trustServer: z.object({ bytes: size }).optional(),
})

export type BackupManifest = z.output<typeof schema>

/** @throws CliError BACKUP_DAMAGED */
export function parseManifest(path: string, bytes: Buffer): BackupManifest {
  try {
    return schema.parse(JSON.parse(bytes.toString('utf8')))
  } catch (cause) {
    throw damagedBackup(path, 'it was made by a version of Countersign that this one does not know', cause)
  }
}
