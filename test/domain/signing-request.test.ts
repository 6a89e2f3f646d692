import { parseGun, parseTag, RELEASES } from '@countersign/tuf'
import { expect } from 'chai'
import fc from 'fast-check'
import type { Decision } from '../../src/domain/decision.ts'
import {
  advance,
  IMAGE_STATUSES,
  type ImageRecord,
  type ImageStatus,
  isFinal,
  next,
  type RequestEvent,
  type RequestEventType,
  requestStatus,
} from '../../src/domain/signing-request.ts'
import { expectCode } from '../support/expect-code.ts'

const at = new Date('2026-05-01T00:00:00Z')
const later = new Date('2026-05-01T00:00:01Z')
const subject = {
  reference: 'registry.example.com/app:1',
  gun: parseGun('registry.example.com/app'),
  tag: parseTag('1'),
  sha256: 'a'.repeat(64),
  length: 500,
}
const allow: Decision = { outcome: 'allow', reasons: [], policyDigest: 'd', at }
const roles = [{ role: RELEASES, version: 2, sha256: 'b'.repeat(64) }]
const error = { code: 'TEST', detail: 'test' }

const decided = { subject, at, decision: allow, conflicts: 1 }
const needsOne: Decision = { ...allow, approvals: { required: 1, from: ['person:ann'], expiresAt: later } }
const approval = { person: 'ann', approver: 'token_ann', at, digest: 'e'.repeat(64) }
const records: Record<ImageStatus, ImageRecord> = {
  submitted: { status: 'submitted', subject, at },
  'awaiting-approval': { status: 'awaiting-approval', ...decided, decision: needsOne, approvals: [approval] },
  approved: { status: 'approved', ...decided },
  intended: { status: 'intended', ...decided, publication: 'p' },
  signed: { status: 'signed', ...decided, publication: 'p' },
  publishing: { status: 'publishing', ...decided, publication: 'p' },
  published: { status: 'published', ...decided, roles, unchanged: false },
  denied: { status: 'denied', subject, at, decision: { ...allow, outcome: 'deny' } },
  withdrawn: { status: 'withdrawn', subject, at },
  expired: { status: 'expired', subject, at },
  failed: { status: 'failed', subject, at, error },
}
const events: Record<RequestEventType, RequestEvent> = {
  decided: { type: 'decided', decision: allow },
  'approval-given': { type: 'approval-given', approval: { ...approval, person: 'bob' } },
  'approvals-complete': { type: 'approvals-complete' },
  'approval-denied': { type: 'approval-denied', denial: { person: 'ann', approver: 'token_ann', reason: 'no' } },
  reconsidered: { type: 'reconsidered', decision: { ...needsOne, policyDigest: 'other' } },
  'intent-saved': { type: 'intent-saved', publication: 'q' },
  signed: { type: 'signed' },
  sending: { type: 'sending' },
  proven: { type: 'proven', roles },
  'found-unchanged': { type: 'found-unchanged', roles },
  conflict: { type: 'conflict' },
  'held-up': { type: 'held-up' },
  failed: { type: 'failed', error },
  withdrawn: { type: 'withdrawn' },
  expired: { type: 'expired' },
}

/** The whole machine. What is not listed is refused. */
const TABLE: Partial<Record<ImageStatus, Partial<Record<RequestEventType, ImageStatus>>>> = {
  submitted: { decided: 'approved', failed: 'failed', withdrawn: 'withdrawn', expired: 'expired' },
  'awaiting-approval': {
    'approval-given': 'awaiting-approval',
    'approvals-complete': 'approved',
    'approval-denied': 'denied',
    reconsidered: 'awaiting-approval',
    failed: 'failed',
    withdrawn: 'withdrawn',
    expired: 'expired',
  },
  approved: {
    reconsidered: 'awaiting-approval',
    'intent-saved': 'intended',
    'found-unchanged': 'published',
    failed: 'failed',
    withdrawn: 'withdrawn',
    expired: 'expired',
  },
  intended: { signed: 'signed', conflict: 'approved', 'held-up': 'approved', failed: 'failed' },
  signed: { sending: 'publishing', conflict: 'approved', failed: 'failed' },
  publishing: { proven: 'published', conflict: 'approved', failed: 'failed' },
}

const allEvents = Object.values(events)

describe('the state machine of an image', () => {
  for (const status of IMAGE_STATUSES) {
    for (const event of allEvents) {
      const expected = TABLE[status]?.[event.type]
      it(`${status} + ${event.type} -> ${expected ?? 'refused'}`, () => {
        const transition = next(records[status], event, later)
        expect(transition.ok ? transition.record.status : undefined).to.equal(expected)
        if (transition.ok) {
          // What goes on waiting has waited since then.
          expect(transition.record.at).to.equal(expected === status ? at : later)
          expect(transition.record.subject).to.deep.equal(subject)
        } else {
          expectCode('TRANSITION_INVALID', () => advance(records[status], event, later))
        }
      })
    }
  }

  it('denies where the policy denies', () => {
    const decision = { ...allow, outcome: 'deny' as const }
    expect(advance(records.submitted, { type: 'decided', decision }, at)).to.deep.include({
      status: 'denied',
      decision,
    })
  })

  describe('approvals', () => {
    const waiting = records['awaiting-approval']
    const two = { ...needsOne, approvals: { required: 2, from: ['group:all'], expiresAt: later } }

    it('are waited for where the decision asks for them', () => {
      const record = advance(records.submitted, { type: 'decided', decision: needsOne }, at)
      expect(record.status).to.equal('awaiting-approval')
      expectCode('TRANSITION_INVALID', () => advance(record, { type: 'approvals-complete' }, at))
      expectCode('TRANSITION_INVALID', () => advance(record, { type: 'intent-saved', publication: 'p' }, at))
    })

    it('count people, not approvals', () => {
      let record = advance(records.submitted, { type: 'decided', decision: two }, at)
      for (const approver of ['token_1', 'token_2']) {
        record = advance(record, { type: 'approval-given', approval: { ...approval, approver } }, at)
      }
      expect(record).to.have.property('approvals').with.length(1)
      expectCode('TRANSITION_INVALID', () => advance(record, { type: 'approvals-complete' }, at))
      record = advance(record, { type: 'approval-given', approval: { ...approval, person: 'bob' } }, at)
      expect(advance(record, { type: 'approvals-complete' }, later).status).to.equal('approved')
    })

    it('are void on other ground, and hold on the same', () => {
      for (const change of [{ policyDigest: 'other' }, { standing: 'f'.repeat(64) }]) {
        const void_ = advance(waiting, { type: 'reconsidered', decision: { ...needsOne, ...change } }, later)
        expect(void_).to.not.have.property('approvals')
      }
      const same = advance(waiting, { type: 'reconsidered', decision: { ...needsOne, at: later } }, later)
      expect(same).to.have.deep.property('approvals', [approval])
      const approved = advance(waiting, { type: 'approvals-complete' }, later)
      expect(advance(approved, { type: 'reconsidered', decision: needsOne }, later).status).to.equal('approved')
    })

    it('go with the image to its end, through conflicts', () => {
      let record = advance(waiting, { type: 'approvals-complete' }, at)
      record = advance(record, { type: 'intent-saved', publication: 'p' }, at)
      record = advance(record, { type: 'conflict' }, at)
      record = advance(record, { type: 'found-unchanged', roles }, later)
      expect(record).to.have.deep.property('approvals', [approval])
    })

    it('gain no time by being looked at again', () => {
      const decision = { ...two, approvals: { ...two.approvals, expiresAt: new Date(later.getTime() + 1000) } }
      const record = advance(waiting, { type: 'reconsidered', decision }, later)
      expect('decision' in record && record.decision.approvals?.expiresAt).to.deep.equal(later)
    })

    it('end with a denial by a person, or by the rules of now', () => {
      const denial = { person: 'ann', approver: 'token_ann', reason: 'not this one' }
      expect(advance(waiting, { type: 'approval-denied', denial }, at)).to.deep.include({ status: 'denied', denial })
      const decision = { ...allow, outcome: 'deny' as const }
      for (const record of [waiting, records.approved]) {
        expect(advance(record, { type: 'reconsidered', decision }, at).status).to.equal('denied')
      }
    })
  })

  it('counts conflicts and forgets the publication', () => {
    for (const status of ['intended', 'signed', 'publishing'] as const) {
      const record = advance(records[status], { type: 'conflict' }, later)
      expect(record).to.deep.include({ status: 'approved', conflicts: 2 })
      expect(record).to.not.have.property('publication')
    }
  })

  it('remembers when the first of all conflicts was', () => {
    const again = advance(records.publishing, { type: 'conflict' }, at)
    const intended = advance(again, { type: 'intent-saved', publication: 'publication-2' }, later)
    expect(advance(intended, { type: 'conflict' }, later)).to.deep.include({ contendedSince: at })
  })

  it('waits for its keys without counting a conflict, and remembers since when until it is given up', () => {
    const held = advance(records.intended, { type: 'held-up' }, later)
    expect(held).to.deep.include({ status: 'approved', conflicts: 1, heldUpSince: at })
    expect(held).to.not.have.property('publication')
    const again = advance(held, { type: 'intent-saved', publication: 'publication-2' }, later)
    expect(advance(again, { type: 'held-up' }, later)).to.deep.include({ heldUpSince: at })
    const given = advance(advance(again, { type: 'signed' }, later), { type: 'conflict' }, later)
    expect(given).to.not.have.property('heldUpSince')
  })

  it('keeps its promises on every walk', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...allEvents), { maxLength: 40 }), (walk) => {
        let record = records.submitted
        const seen: ImageStatus[] = []
        for (const event of walk) {
          const transition = next(record, event, later)
          if (!transition.ok) continue
          expect(isFinal(record.status), 'nothing leaves a final state').to.equal(false)
          record = transition.record
          seen.push(record.status)
        }
        // Nothing is published without an approval before it, and no signature comes without an intent.
        if (seen.includes('published')) expect(seen.indexOf('approved')).to.be.within(0, seen.indexOf('published'))
        if (seen.includes('signed')) expect(seen.indexOf('intended')).to.be.within(0, seen.indexOf('signed'))
        if (seen.includes('publishing')) expect(seen.indexOf('signed')).to.be.within(0, seen.indexOf('publishing'))
      }),
    )
  })
})

describe('requestStatus', () => {
  const status = (...statuses: ImageStatus[]): string => requestStatus(statuses.map((s) => ({ record: records[s] })))

  it('is that of the image furthest behind, while any is under way', () => {
    expect(status('published', 'approved', 'publishing')).to.equal('approved')
    expect(status('failed', 'publishing')).to.equal('publishing')
  })

  it('is partial where some were published and some not', () => {
    expect(status('published', 'failed')).to.equal('partial')
    expect(status('published', 'withdrawn')).to.equal('partial')
    expect(isFinal('partial')).to.equal(true)
  })

  it('is the gravest end', () => {
    expect(status('published', 'published')).to.equal('published')
    expect(status('denied', 'failed')).to.equal('failed')
    expect(status('denied', 'withdrawn')).to.equal('denied')
  })

  it('is final exactly where all images are', () => {
    const any = fc.array(fc.constantFrom(...IMAGE_STATUSES), { minLength: 1, maxLength: 6 })
    fc.assert(
      fc.property(any, (statuses) => {
        const whole = requestStatus(statuses.map((s) => ({ record: records[s] })))
        expect(isFinal(whole)).to.equal(statuses.every((s) => isFinal(s)))
      }),
    )
  })
})
