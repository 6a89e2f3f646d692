// Every known attack on signed repositories that concerns metadata, transport or storage has a test that is named after it
// (`attack: NAME`); the others are listed with the reason.
import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { expect } from 'chai'

/** From the TUF specification, the audits of Notary (Cure53 2018, NCC 2015), and the ways of signing services to fail. */
const TESTED = [
  'Arbitrary installation',
  'Wrong software (tag hijack, TOCTOU)',
  'Rollback',
  'Fast-forward / version ceiling',
  'Freeze',
  'Mix-and-match',
  'Endless data',
  'Malicious mirror / Notary compromise',
  'Unsigned junk in metadata breaks the collection',
  'Path traversal / odd GUN or role names',
  'Algorithm confusion',
  'Expired keys still accepted',
  'Signer without authentication',
  'Secrets not wiped',
  'Stolen delegation key + Notary write rights',
  'Shared `targets/releases` lets any signer overwrite others',
  'Targets-key fallback hides missing delegation',
  'Several delegations, different digests',
  'Forged CI identity',
  'Approver = submitter, or admin grants himself',
  'Stale approval',
  'DoS by one noisy pipeline',
  'Confused deputy through webhook',
  'Audit cannot be written',
  'Audit edited',
  'Crash in the middle',
  'Lost reply (published, answer lost)',
  'Clock wrong',
  'Back-up restored on a second host (split brain)',
  'Wrong lengths and hashes',
  'Malformed metadata',
  'One key under two certificates',
] as const

const NOT_OURS: Readonly<Record<string, string>> = {
  'PIN on the command line': 'there is no PIN: keys are sealed in the folder; passphrases come from a prompt or a file',
  'Root or quorum lost': 'an operator’s procedure: the root stays offline with its owner',
}

const top = resolve(import.meta.dirname, '..')
const text = readdirSync(top, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.test.ts') && !file.startsWith('house/'))
  .map((file) => readFileSync(join(top, file), 'utf8'))
  .join('\n')

describe('the attacks on signed repositories', () => {
  for (const row of TESTED) {
    it(`${row}: has a test`, () => {
      expect(text.includes(`attack: ${row}`) || text.includes(`row: '${row}'`)).to.equal(true)
    })
  }
  for (const [row, reason] of Object.entries(NOT_OURS)) {
    it(`${row}: is not ours: ${reason}`, () => expect(text).not.to.include(`attack: ${row}`))
  }
})
