// A repository as the API shows it: what the daemon remembers, what the key holder holds, and what the trust server serves.
import { encodeBase64 } from '@countersign/tuf'
import * as z from 'zod'
import { REPOSITORY_WARNINGS, type Repository } from '../domain/repository.ts'
import type { Initialization, RepositoryReport } from '../service/services.ts'
import { dateText, failure, hex64 } from './shapes.ts'

const summary = {
  gun: z.string(),
  state: z.enum(['initializing', 'awaiting-root-signature', 'ready']),
  root: z.enum(['online', 'offline', 'adopted']).meta({ description: 'Where the root key is.' }),
  signer: z.string().optional().meta({ description: 'The delegation targets/NAME; absent: tags stand in targets.' }),
  keyType: z.enum(['ecdsa', 'ed25519', 'rsa']),
  trustServer: z
    .string()
    .optional()
    .meta({ description: 'The trust server that it has moved to; absent: the first that matches.' }),
  createdAt: dateText,
  createdBy: z.string(),
}

export const repositoryShape = z.strictObject(summary).meta({ id: 'Repository' })

const versionShape = z.strictObject({ version: z.int(), sha256: hex64 })

const custodyShape = z.strictObject({
  state: z.enum(['awaiting-root-signature', 'ready', 'frozen']),
  frozenBecause: z.string().optional(),
  rootCustody: z.enum(['online', 'offline', 'foreign']),
  pinnedRoot: z.strictObject({ version: z.int(), sha256: hex64, certificateKeyIds: z.array(z.string()) }).optional(),
  keys: z.array(
    z.strictObject({
      role: z.string(),
      keyType: z.string(),
      tufKeyId: z.string(),
      canonicalKeyId: z.string(),
      custody: z.string(),
      createdAt: z.string(),
      activeSince: z
        .string()
        .optional()
        .meta({ description: 'Since when it signs; absent where a root or a delegation has yet to list it.' }),
      lastUsedAt: z
        .string()
        .optional()
        .meta({ description: 'When a file was last signed with it; absent where none was.' }),
      state: z.enum(['active', 'staged', 'replaced', 'retired']),
      signs: z
        .array(z.string())
        .optional()
        .meta({ description: 'The roles that list the key now; absent where the metadata could not be loaded.' }),
      replaces: z.string().optional().meta({ description: 'Canonical ID of the key that it was made to replace.' }),
    }),
  ),
  roles: z.array(
    z.strictObject({
      role: z.string(),
      highestSeen: versionShape.optional(),
      highestSigned: versionShape.optional(),
    }),
  ),
  foreign: z
    .strictObject({
      versions: z.array(
        z.strictObject({
          role: z.string(),
          version: z.int(),
          decision: z.enum(['none', 'dropped']).meta({
            description: 'dropped: and nothing of ours has followed yet. Decisions: countersign repo unfreeze.',
          }),
        }),
      ),
      leftOut: z.int().meta({ description: 'How many there are besides; the audit log has them all.' }),
    })
    .optional()
    .meta({
      description: 'Versions that a key of here signed elsewhere, the newest 256; absent where there are none.',
    }),
})

export const repositoryReportShape = z
  .strictObject({
    ...summary,
    custody: custodyShape,
    roles: z.array(
      z.strictObject({
        role: z.string(),
        version: z.int(),
        expiresAt: dateText,
        sha256: hex64,
        entries: z.int().optional(),
      }),
    ),
    warnings: z.array(
      z.strictObject({ code: z.enum(REPOSITORY_WARNINGS), detail: z.string(), role: z.string().optional() }),
    ),
    trouble: failure.optional().meta({ description: 'Why the published metadata could not be loaded.' }),
  })
  .meta({ id: 'RepositoryReport' })

export const initializationShape = z
  .strictObject({
    gun: z.string(),
    state: z.enum(['ready', 'awaiting-root-signature']),
    rootKeyIds: z.array(z.string()),
    rootSigned: z.base64().optional().meta({ description: 'The exact bytes to be signed with the offline root key.' }),
  })
  .meta({ id: 'Initialization' })

export function repositoryView(repository: Repository): z.output<typeof repositoryShape> {
  return {
    gun: repository.gun,
    state: repository.state,
    root: repository.rootKind,
    ...(repository.signer !== null && { signer: repository.signer }),
    keyType: repository.keyType,
    ...(repository.trustServer !== undefined && { trustServer: repository.trustServer }),
    createdAt: repository.createdAt.toISOString(),
    createdBy: repository.createdBy,
  }
}

export function repositoryReportView(report: RepositoryReport): z.output<typeof repositoryReportShape> {
  const { custody } = report
  return {
    ...repositoryView(report.repository),
    custody: {
      state: custody.state,
      ...(custody.frozenBecause !== undefined && { frozenBecause: custody.frozenBecause }),
      rootCustody: custody.rootCustody,
      ...(custody.pinnedRoot !== undefined && {
        pinnedRoot: { ...custody.pinnedRoot, certificateKeyIds: [...custody.pinnedRoot.certificateKeyIds] },
      }),
      keys: custody.keys.map((key) => {
        const signs = report.keyRoles.get(key.canonicalKeyId)
        return { ...key, ...(signs !== undefined && { signs: [...signs] }) }
      }),
      roles: custody.roles.map((role) => ({ ...role })),
      ...(custody.foreign !== undefined && {
        foreign: {
          versions: custody.foreign.versions.map((one) => ({ ...one })),
          leftOut: custody.foreign.leftOut,
        },
      }),
    },
    roles: report.roles.map((role) => ({ ...role, expiresAt: role.expiresAt.toISOString() })),
    warnings: report.warnings.map((warning) => ({ ...warning })),
    ...(report.trouble !== undefined && { trouble: { ...report.trouble } }),
  }
}

export function initializationView(o: Initialization): z.output<typeof initializationShape> {
  return {
    gun: o.gun,
    state: o.state,
    rootKeyIds: [...o.rootKeyIds],
    ...(o.rootSigned !== undefined && { rootSigned: encodeBase64(o.rootSigned) }),
  }
}
