// What every RequestStore must do. Run on each implementation by stores.test.ts.
import { type Gun, parseGun, parseTag, RELEASES, ROOT } from '@countersign/tuf'
import { expect } from 'chai'
import type { ImageUpdate, PendingImage, RequestStore } from '../../src/domain/ports.ts'
import type { Publication } from '../../src/domain/publication.ts'
import {
  imageOf,
  advance,
  type ImageRecord,
  type RequestEvent,
  requestStatus,
  type SigningRequest,
} from '../../src/domain/signing-request.ts'
import { expectCode } from '../support/expect-code.ts'

const at = new Date('2026-05-01T10:00:00.123Z')
const app = parseGun('registry.example.com/team/app')
const other = parseGun('registry.example.com/team/other')
const decision = {
  outcome: 'allow' as const,
  reasons: [{ rule: 'r', code: 'C', subject: 's' }],
  policyDigest: 'd'.repeat(64),
  at,
}

export function approved(gun: Gun, tag: string): ImageRecord {
  const subject = {
    reference: `${gun}:${tag}`,
    gun,
    tag: parseTag(tag),
    sha256: 'a'.repeat(64),
    length: 1234,
    mediaType: 'application/vnd.oci.image.index.v1+json',
  }
  return { status: 'approved', subject, at, decision, conflicts: 0 }
}

export function request(id: string, ...records: ImageRecord[]): SigningRequest {
  return {
    id,
    kind: 'sign',
    submitter: { id: 'token-1', name: 'release bot' },
    createdAt: at,
    images: records.map((record) => ({ record, revision: 1 })),
  }
}

const publication: Publication = {
  id: 'publication-1',
  gun: app,
  kind: 'sign',
  roles: [RELEASES],
  changes: [
    {
      change: { kind: 'put', name: parseTag('__proto__'), sha256: 'a'.repeat(64), length: 7 },
      evidence: { request: 'request-1', principal: 'token-1', decision: 'allow', origin: 'run 7' },
    },
    { change: { kind: 'drop', name: parseTag('10') }, evidence: { request: 'request-1', principal: 'token-1' } },
  ],
  base: [{ role: RELEASES, version: 4, sha256: 'b'.repeat(64) }],
  createdAt: at,
  files: [],
}

function updates(images: readonly PendingImage[], event: RequestEvent): ImageUpdate[] {
  return images.map((image) => ({ ...image, record: advance(image.record, event, at) }))
}

export function requestStoreContract(open: () => RequestStore): void {
  let store: RequestStore
  beforeEach(() => {
    store = open()
  })
  const everything = { limit: 50, isVisible: () => true }

  describe('create and find', () => {
    it('returns what was stored', () => {
      const whole = {
        ...request('request-1', approved(app, '__proto__'), approved(other, '10')),
        description: 'd',
        policy: 'p',
        origin: 'o',
      }
      expect(store.create(whole)).to.deep.equal({ request: whole, isRepeated: false })
      expect(store.find('request-1')).to.deep.equal(whole)
      expect(store.find('request-2')).to.equal(undefined)
    })

    it('keeps every kind of record', () => {
      const start: ImageRecord = { status: 'submitted', subject: approved(app, '1').subject, at }
      const events: RequestEvent[] = [
        { type: 'decided', decision },
        { type: 'intent-saved', publication: 'publication-1' },
        { type: 'signed' },
        { type: 'sending' },
        { type: 'proven', roles: [{ role: RELEASES, version: 5, sha256: 'c'.repeat(64) }] },
      ]
      store.create(request('request-1', start))
      for (const [index, event] of events.entries()) {
        const images = store.unfinished()
        store.save(updates(images, event), index === 1 ? publication : undefined)
        const record = store.find('request-1')?.images[0]?.record
        expect(record).to.deep.equal(updates(images, event)[0]?.record)
      }
    })

    it('refuses an identifier that exists', () => {
      store.create(request('request-1', approved(app, '1')))
      expectCode('RECORD_EXISTS', () => store.create(request('request-1', approved(app, '2'))))
    })
  })

  describe('idempotency keys', () => {
    const key = { principal: 'token-1', key: 'k', bodySha256: '1'.repeat(64) }

    it('answer a repetition with the first request', () => {
      const first = store.create(request('request-1', approved(app, '1')), key)
      expect(store.create(request('request-2', approved(app, '1')), key)).to.deep.equal({ ...first, isRepeated: true })
      expect(store.find('request-2')).to.equal(undefined)
      expect(store.findRepeated(key)?.id).to.equal('request-1')
    })

    it('refuse another body', () => {
      store.create(request('request-1', approved(app, '1')), key)
      const reused = { ...key, bodySha256: '2'.repeat(64) }
      expectCode('IDEMPOTENCY_KEY_REUSED', () => store.create(request('request-2', approved(app, '2')), reused))
      expectCode('IDEMPOTENCY_KEY_REUSED', () => store.findRepeated(reused))
      expect(store.find('request-2')).to.equal(undefined)
    })

    it("are one principal's own", () => {
      store.create(request('request-1', approved(app, '1')), key)
      const others = { ...key, principal: 'token-2' }
      expect(store.create(request('request-2', approved(app, '1')), others).isRepeated).to.equal(false)
    })
  })

  describe('createAll', () => {
    const key = { principal: 'token-1', key: 'k', bodySha256: 'a'.repeat(64) }

    it('stores what it can and refuses the rest, each for itself', () => {
      store.create(request('request-1', approved(app, '1')), key)
      const outcomes = store.createAll([
        [request('request-2', approved(app, '2')), undefined],
        [request('request-3', approved(app, '3')), { ...key, bodySha256: 'b'.repeat(64) }],
        [request('request-4', approved(app, '4')), key],
        [request('request-2', approved(app, '5')), undefined],
        [request('request-6', approved(app, '6')), { ...key, key: 'other' }],
        [request('request-7', approved(app, '7')), { ...key, key: 'other' }],
      ])
      expect(
        outcomes.map((outcome) =>
          'refusal' in outcome ? outcome.refusal.code : `${outcome.request.id} ${outcome.isRepeated}`,
        ),
      ).to.deep.equal([
        'request-2 false',
        'IDEMPOTENCY_KEY_REUSED',
        'request-1 true',
        'RECORD_EXISTS',
        'request-6 false',
        'request-6 true',
      ])
      expect(store.unfinished(app).map(({ request: id }) => id)).to.deep.equal(['request-1', 'request-2', 'request-6'])
    })
  })

  describe('save', () => {
    it('moves images and stores the publication together', () => {
      store.create(request('request-1', approved(app, '1')))
      store.save(updates(store.unfinished(app), { type: 'intent-saved', publication: publication.id }), publication)
      expect(store.publication(publication.id)).to.deep.equal(publication)
      expect(store.unfinished(app)[0]).to.deep.include({ revision: 2 })
    })

    it('remembers what the newest published images of a repository were proven with', () => {
      const roles = [{ role: RELEASES, version: 5, sha256: 'c'.repeat(64) }]
      store.create(request('request-1', approved(app, '1'), approved(app, '2')))
      store.create(request('request-2', approved(other, '1')))
      expect(store.proven(app)).to.deep.equal([])
      const [first] = updates(store.unfinished(app), { type: 'found-unchanged', roles })
      if (first !== undefined) store.save([first])
      expect(store.proven(app)).to.deep.equal(roles)
      expect(store.proven(other)).to.deep.equal([])
    })

    it('remembers what a change of root was proven with, however many tags were published since', () => {
      const proven = [{ role: ROOT, version: 2, sha256: 'e'.repeat(64) }]
      const whole = { reference: app, gun: app }
      store.create({ ...request('request-1', { ...approved(app, '1'), subject: whole }), kind: 'renew' })
      const [first] = updates(store.unfinished(app), { type: 'found-unchanged', roles: proven })
      if (first !== undefined) store.save([first])
      const roles = [{ role: RELEASES, version: 5, sha256: 'c'.repeat(64) }]
      store.create(request('request-2', ...Array.from({ length: 40 }, (_, index) => approved(app, `t${index}`))))
      store.save(updates(store.unfinished(app), { type: 'found-unchanged', roles }))
      expect(store.proven(app)).to.deep.include.members([...proven, ...roles])
    })

    it('remembers by tag at which digest it was signed last, and when, unless it was unsigned since', () => {
      const roles = [{ role: RELEASES, version: 5, sha256: 'c'.repeat(64) }]
      const end = (): void => {
        store.save(updates(store.unfinished(app), { type: 'found-unchanged', roles }))
      }
      store.create(request('request-1', approved(app, '1'), approved(app, '2'), approved(app, '__proto__')))
      expect(store.lastSigned(app)).to.deep.equal(new Map())
      end()
      const signed = { sha256: 'a'.repeat(64), at }
      expect([...store.lastSigned(app)]).to.have.deep.members(['1', '2', '__proto__'].map((tag) => [tag, signed]))
      expect(store.lastSigned(other)).to.deep.equal(new Map())
      store.create({ ...request('request-2', approved(app, '1')), kind: 'unsign' })
      end()
      const again = approved(app, '2')
      store.create(request('request-3', { ...again, subject: { ...again.subject, sha256: 'b'.repeat(64) } }))
      end()
      expect([...store.lastSigned(app)]).to.have.deep.members([
        ['2', { ...signed, sha256: 'b'.repeat(64) }],
        ['__proto__', signed],
      ])
    })

    it('writes nothing where one revision is not the one that was read', () => {
      store.create(request('request-1', approved(app, '1'), approved(app, '2')))
      const moved = updates(store.unfinished(app), { type: 'intent-saved', publication: publication.id })
      const stale = moved.map((update, index) => (index === 1 ? { ...update, revision: 7 } : update))
      expectCode('RECORD_CHANGED', () => {
        store.save(stale, publication)
      })
      expect(store.find('request-1')?.images.map(({ record, revision }) => [record.status, revision])).to.deep.equal([
        ['approved', 1],
        ['approved', 1],
      ])
      expect(store.publication(publication.id)).to.equal(undefined)
    })

    it('refuses to move an image that does not exist', () => {
      store.create(request('request-1', approved(app, '1')))
      const [update] = updates(store.unfinished(app), { type: 'withdrawn' })
      expectCode('RECORD_CHANGED', () => {
        store.save(update === undefined ? [] : [{ ...update, position: 1 }])
      })
    })

    it('adds signed bytes, and forgets them when told', () => {
      const bytes = Buffer.from('{"signed":{},"signatures":[]}\0')
      const files = [{ role: RELEASES, version: 5, sha256: 'c'.repeat(64), bytes }]
      store.create(request('request-1', approved(app, '1')))
      store.save(updates(store.unfinished(app), { type: 'intent-saved', publication: publication.id }), publication)
      store.save(updates(store.unfinished(app), { type: 'signed' }), { ...publication, files })
      expect(store.publication(publication.id)).to.deep.equal({ ...publication, files })
      store.save(updates(store.unfinished(app), { type: 'sending' }), undefined, publication.id)
      expect(store.publication(publication.id)).to.deep.equal(publication)
    })

    it('needs the publication that an image names', () => {
      store.create(request('request-1', approved(app, '1')))
      expectCode('STORE_UNWRITABLE', () => {
        store.save(updates(store.unfinished(app), { type: 'intent-saved', publication: 'publication-9' }))
      })
    })
  })

  describe('unfinished', () => {
    it('gives the images that are not final, oldest first', () => {
      store.create(request('request-b', approved(app, '1'), approved(other, '2')))
      store.create(request('request-a', approved(app, '3')))
      expect(store.unfinished().map((image) => [image.request, image.position])).to.deep.equal([
        ['request-b', 0],
        ['request-b', 1],
        ['request-a', 0],
      ])
      expect(store.unfinished(app).map(({ record }) => imageOf(record)?.tag)).to.deep.equal(['1', '3'])
      store.save(updates(store.unfinished(other), { type: 'withdrawn' }))
      expect(store.unfinished(other)).to.deep.equal([])
    })
  })

  describe('list', () => {
    beforeEach(() => {
      for (let index = 0; index < 7; index++) {
        store.create(request(`request-${index}`, approved(index % 2 === 0 ? app : other, '1')))
      }
    })
    const ids = (requests: readonly SigningRequest[]): string[] => requests.map(({ id }) => id)

    it('gives the newest first, in pages that meet', () => {
      const seen: string[] = []
      let cursor: string | undefined
      do {
        const page = store.list({ ...everything, limit: 3, ...(cursor === undefined ? {} : { cursor }) })
        expect(page.requests.length).to.be.within(1, 3)
        seen.push(...ids(page.requests))
        cursor = page.nextCursor
      } while (cursor !== undefined)
      expect(seen).to.deep.equal([6, 5, 4, 3, 2, 1, 0].map((index) => `request-${index}`))
    })

    it('is not disturbed by newer requests between two pages', () => {
      const first = store.list({ ...everything, limit: 2 })
      store.create(request('request-new', approved(app, '1')))
      const second = store.list({ ...everything, limit: 2, cursor: first.nextCursor ?? '' })
      expect(ids(second.requests)).to.deep.equal(['request-4', 'request-3'])
    })

    it('filters by repository, by status and by sight', () => {
      store.save(updates(store.unfinished(other), { type: 'withdrawn' }))
      expect(ids(store.list({ ...everything, gun: other }).requests)).to.deep.equal([
        'request-5',
        'request-3',
        'request-1',
      ])
      expect(ids(store.list({ ...everything, status: 'withdrawn' }).requests)).to.have.length(3)
      const page = store.list({ limit: 2, isVisible: ({ id }) => id < 'request-4' })
      expect(ids(page.requests)).to.deep.equal(['request-3', 'request-2'])
      expect(page.nextCursor).to.not.equal(undefined)
    })

    it('knows the status of the whole', () => {
      const whole = store.find('request-1')
      expect(whole && requestStatus(whole.images)).to.equal('approved')
    })

    for (const cursor of ['', 'x', 'r', 'r1; DROP TABLE requests', `r${'9'.repeat(30)}`]) {
      it(`refuses the cursor ${JSON.stringify(cursor)}`, () => {
        expectCode('CURSOR_INVALID', () => store.list({ ...everything, cursor }))
      })
    }
  })
}
