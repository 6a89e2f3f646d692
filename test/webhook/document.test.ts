// docs/webhooks.md is true: its code verifies, its events have the members of real ones, its table has the pauses that are made.
import { readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describeChange, parseGun, parseTag, RELEASES, ROOT, type TargetsMetadata } from '@countersign/tuf'
import { expect } from 'chai'
import { RETRY_PAUSES_MS } from '../../src/domain/webhook-delivery.ts'
import { driftNews } from '../../src/domain/drift.ts'
import { unsignedNews } from '../../src/domain/push-event.ts'
import { foreignNews } from '../../src/domain/foreign-version.ts'
import { expiryNews } from '../../src/domain/expiry-news.ts'
import {
  checkpointNews,
  freezeNews,
  PING,
  requestNews,
  WEBHOOK_EVENT_TYPES,
  webhookBody,
  type WebhookNews,
} from '../../src/domain/webhook-event.ts'
import { parseWebhookSecret, signedHeaders } from '../../src/webhook/signature.ts'
import { Scope } from '../support/scope.ts'
import { newWebhookSecret } from '../support/webhook-receiver.ts'

const PAGE = readFileSync(join(resolve(import.meta.dirname, '../..'), 'docs/webhooks.md'), 'utf8')
const at = new Date('2026-11-28T10:00:00.000Z')
const gun = parseGun('registry.example.com/team/app')

type Verify = (secret: string, headers: Readonly<Record<string, string>>, body: string) => unknown

function blocks(kind: string): string[] {
  return [...PAGE.matchAll(new RegExp(`^\`\`\`${kind}\\n([\\s\\S]*?)^\`\`\``, 'gm'))].map(([, text = '']) => text)
}

function targetsWith(version: number, tags: readonly string[], letter: string): TargetsMetadata {
  const meta = { length: 1, hashes: new Map([['sha256', letter.repeat(44)]]) }
  return {
    version,
    expiresAt: at,
    targets: new Map(tags.map((tag) => [parseTag(tag), meta])),
    delegations: { keys: new Map(), roles: [] },
  }
}

/** The members of a document, as paths. */
function members(value: unknown, path = ''): string[] {
  if (typeof value !== 'object' || value === null) return [path]
  return Object.entries(value).flatMap(([name, member]) => members(member, `${path}/${name}`))
}

describe('docs/webhooks.md', () => {
  it('shows events as they are', () => {
    const decision = { outcome: 'allow' as const, reasons: [], policyDigest: '', at }
    const subject = { reference: `${gun}:1.4`, gun, tag: parseTag('1.4'), sha256: 'a'.repeat(64) }
    const record = { status: 'published' as const, subject, at, decision, conflicts: 0, roles: [], unchanged: false }
    const real: Readonly<Record<string, WebhookNews>> = {
      'request.published': requestNews('request.published', {
        id: 'request-1',
        kind: 'sign',
        submitter: { id: 'token-1', name: 'release-bot' },
        policy: 'grants',
        createdAt: at,
        images: [{ record, revision: 1 }],
      }),
      'repository.frozen': freezeNews(gun, 'reason', at),
      'repository.expiring': expiryNews(
        gun,
        {
          role: ROOT,
          roleClass: 'root',
          version: 1,
          expiresAt: at,
          by: 'ceremony',
          keyIds: [],
          threshold: 1,
        },
        90,
        at,
      ),
      'repository.foreign': foreignNews(
        {
          gun,
          role: RELEASES,
          version: 13,
          sha256: 'a'.repeat(64),
          from: 12,
          isFrozen: true,
          change: describeChange(targetsWith(12, ['1.3', 'latest'], 'a'), targetsWith(13, ['1.5', 'latest'], 'b')),
        },
        at,
      ),
      'repository.drift': driftNews(
        { gun, tag: parseTag('1.4'), state: 'moved', signed: 'a'.repeat(64), found: 'b'.repeat(64) },
        at,
      ),
      'repository.unsigned': unsignedNews(
        {
          gun,
          tag: parseTag('1.5'),
          source: 'main',
          since: at,
          claims: [],
          sha256: 'a'.repeat(64),
          request: 'request-2',
        },
        'unsigned',
        at,
      ),
      'audit.checkpoint': checkpointNews({ origin: 'o', size: 1, rootHash: 'AAAA', checkpoint: 'note' }, at),
    }
    const shown = blocks('json').map((text) => JSON.parse(text) as { type: string })
    expect(shown.map(({ type }) => type)).to.deep.equal(Object.keys(real))
    for (const example of shown) {
      const news = real[example.type]
      if (news === undefined) throw new Error(example.type)
      const body: unknown = JSON.parse(webhookBody(news.type, news.at, news.data))
      expect(members(example), example.type).to.deep.equal(members(body))
    }
  })

  it('has a row for every event', () => {
    for (const type of [...WEBHOOK_EVENT_TYPES, PING]) expect(PAGE).to.match(new RegExp(`^\\|.*\`${type}\``, 'm'))
  })

  it('has the pauses', () => {
    const row = /^\| pause \| (.+) \| given up \|$/m.exec(PAGE)?.[1]?.split(' | ') ?? []
    const units: Readonly<Record<string, number>> = { s: 1_000, min: 60_000, h: 3_600_000 }
    const pauses = row.map((cell) => Number(cell.split(' ')[0]) * (units[cell.split(' ')[1] ?? ''] ?? NaN))
    expect(pauses).to.deep.equal([...RETRY_PAUSES_MS])
  })

  it('has code that takes what we sign, and nothing else', async () => {
    const scope = new Scope()
    try {
      const file = join(scope.folder('doc'), 'verify.mjs')
      writeFileSync(file, blocks('js')[0] ?? '')
      const { verify } = (await import(pathToFileURL(file).href)) as { verify: Verify }
      const [secret, previous, wrong] = [newWebhookSecret(), newWebhookSecret(), newWebhookSecret()]
      const body = webhookBody(PING, at, { endpoint: 'ä' })
      const sign = (now: Date) =>
        signedHeaders({ id: 'event-1', body }, [secret, previous].map(parseWebhookSecret), now)
      const headers = sign(new Date())
      for (const one of [secret, previous]) expect(verify(one, headers, body)).to.deep.equal(JSON.parse(body))
      const refused: readonly (readonly [string, Readonly<Record<string, string>>, string])[] = [
        [wrong, headers, body],
        [secret, headers, `${body} `],
        [secret, { ...headers, 'webhook-id': 'event-2' }, body],
        [secret, { ...headers, 'webhook-timestamp': '' }, body],
        [secret, { ...headers, 'webhook-timestamp': 'x' }, body],
        [secret, { ...headers, 'webhook-signature': 'v1,é' }, body],
        [secret, sign(new Date(Date.now() - 301_000)), body],
        [secret, sign(new Date(Date.now() + 302_000)), body],
      ]
      for (const each of refused) expect(() => verify(...each)).to.throw()
    } finally {
      await scope.close()
    }
  })
})
