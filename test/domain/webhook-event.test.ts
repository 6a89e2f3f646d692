import { parseGun, parseTag } from '@countersign/tuf'
import { expect } from 'chai'
import { parsePattern } from '../../src/domain/pattern.ts'
import {
  IMAGE_STATUSES,
  isFinal,
  type ImageRecord,
  type RequestStatus,
  type SigningRequest,
} from '../../src/domain/signing-request.ts'
import { type Subscription, wants } from '../../src/domain/webhook-delivery.ts'
import {
  eventOfMove,
  freezeNews,
  requestNews,
  WEBHOOK_EVENT_TYPES,
  webhookBody,
} from '../../src/domain/webhook-event.ts'

const at = new Date('2026-05-01T10:00:00.123Z')
const gun = parseGun('registry.example.com/team/app')
const other = parseGun('registry.example.com/other/app')
const STATUSES: readonly RequestStatus[] = [...IMAGE_STATUSES, 'partial']

function failed(tag: string): ImageRecord {
  const subject = { reference: `${gun}:${tag}`, gun, tag: parseTag(tag), sha256: 'a'.repeat(64) }
  return { status: 'failed', subject, at, error: { code: 'DIGEST_MISMATCH', detail: 'text that stays inside' } }
}

function requestOf(records: readonly ImageRecord[]): SigningRequest {
  return {
    id: 'request-1',
    kind: 'sign',
    submitter: { id: 'token-1', name: 'release bot' },
    description: 'not for everybody',
    policy: 'grants',
    createdAt: new Date(0),
    images: records.map((record) => ({ record, revision: 1 })),
  }
}

describe('the events of requests', () => {
  it('every final status is told, from wherever it is reached', () => {
    for (const to of STATUSES.filter(isFinal)) {
      for (const from of [undefined, ...STATUSES.filter((status) => status !== to)]) {
        expect(eventOfMove(from, to), `${from} -> ${to}`).to.be.oneOf([...WEBHOOK_EVENT_TYPES])
      }
    }
  })

  it('a status that stays is told once', () => {
    for (const status of STATUSES) expect(eventOfMove(status, status)).to.equal(undefined)
  })

  it('an approval is told when it is given, and not when others published first', () => {
    expect(eventOfMove(undefined, 'approved')).to.equal('request.approved')
    expect(eventOfMove('submitted', 'approved')).to.equal('request.approved')
    for (const from of ['intended', 'signed', 'publishing'] as const) {
      expect(eventOfMove(from, 'approved')).to.equal(undefined)
    }
  })

  it('an approval that is void again is asked for anew', () => {
    expect(eventOfMove('submitted', 'awaiting-approval')).to.equal('request.waiting')
    expect(eventOfMove('awaiting-approval', 'approved')).to.equal('request.approved')
    expect(eventOfMove('approved', 'awaiting-approval')).to.equal('request.waiting')
  })

  it('a request that waits says for whom, and until when', () => {
    const approvals = { required: 2, from: ['release-managers'], expiresAt: at }
    const decision = { outcome: 'allow' as const, reasons: [], policyDigest: '', at, approvals }
    const { subject } = failed('1.4')
    const { data } = requestNews(
      'request.waiting',
      requestOf([{ status: 'awaiting-approval', subject, at, decision, conflicts: 0 }]),
    )
    expect(data).to.nested.include({ status: 'awaiting-approval' })
    expect(data)
      .to.have.nested.property('images[0].approvals')
      .that.deep.equals({ required: 2, from: ['release-managers'], expiresAt: at.toISOString() })
  })

  it('what is only a part is no success', () => {
    expect(eventOfMove('publishing', 'partial')).to.equal('request.failed')
  })

  it('hold ids, digests and codes, but neither description nor details', () => {
    const { type, at: when, subject, guns, data } = requestNews('request.failed', requestOf([failed('1.4')]))
    expect([type, subject, guns, when]).to.deep.equal(['request.failed', 'request-1', [gun], at])
    expect(JSON.parse(webhookBody(type, when, data))).to.deep.equal({
      type: 'request.failed',
      timestamp: '2026-05-01T10:00:00.123Z',
      data: {
        id: 'request-1',
        kind: 'sign',
        status: 'failed',
        createdAt: '1970-01-01T00:00:00.000Z',
        submitter: { id: 'token-1', name: 'release bot' },
        policy: 'grants',
        images: [
          {
            reference: `${gun}:1.4`,
            gun,
            tag: '1.4',
            digest: `sha256:${'a'.repeat(64)}`,
            status: 'failed',
            code: 'DIGEST_MISMATCH',
          },
        ],
      },
    })
  })

  it('are bounded, and say how many images they leave out', () => {
    const news = requestNews('request.failed', requestOf(Array.from({ length: 1000 }, (_, i) => failed(`t${i}`))))
    const body = webhookBody(news.type, news.at, news.data)
    expect(Buffer.byteLength(body)).to.be.lessThan(64 * 1024)
    const { data } = JSON.parse(body) as { data: { images: unknown[]; imagesLeftOut: number } }
    expect(data.images.length).to.be.greaterThan(100)
    expect(data.images.length + data.imagesLeftOut).to.equal(1000)
  })

  it('a freeze has its reason, of which not more than is read', () => {
    expect(freezeNews(gun, 'x'.repeat(5000), at).data).to.deep.equal({ gun, reason: 'x'.repeat(1000) })
  })
})

describe('a subscription', () => {
  const subscription: Subscription = {
    name: 'chat',
    events: ['request.published', 'audit.checkpoint'],
    repositories: [parsePattern('registry.example.com/team/*')],
  }

  for (const [name, type, guns, wanted] of [
    ['a matching repository', 'request.published', [gun], true],
    ['one matching repository of several', 'request.published', [other, gun], true],
    ['another repository', 'request.published', [other], false],
    ['another event', 'request.failed', [gun], false],
    ['an event of no repository', 'audit.checkpoint', [], true],
  ] as const) {
    it(`${wanted ? 'takes' : 'leaves'} ${name}`, () => {
      expect(wants(subscription, { type, guns })).to.equal(wanted)
    })
  }
})
