import { expect } from 'chai'
import fc from 'fast-check'
import { Webhook } from 'standardwebhooks'
import { parseWebhookSecret, signedHeaders } from '../../src/webhook/signature.ts'
import { expectCode } from '../support/expect-code.ts'
import { newWebhookSecret } from '../support/webhook-receiver.ts'

describe('signatures of webhooks', () => {
  it('are the vector of the specification', () => {
    const secret = parseWebhookSecret('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw')
    const message = { id: 'msg_p5jXN8AQM9LWM0D4loKWxJek', body: '{"test": 2432232314}' }
    expect(signedHeaders(message, [secret], new Date(1_614_265_330_999))).to.deep.equal({
      'webhook-id': message.id,
      'webhook-timestamp': '1614265330',
      'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    })
  })

  it('are good for the public library under either secret while there are two, and under no other', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), fc.stringMatching(/^[a-z0-9-]{1,40}$/), (text, id) => {
        const [next, previous, wrong] = [newWebhookSecret(), newWebhookSecret(), newWebhookSecret()]
        const body = JSON.stringify({ text })
        const sent = JSON.parse(body) as unknown
        const headers = signedHeaders({ id, body }, [next, previous].map(parseWebhookSecret), new Date())
        for (const secret of [next, previous]) {
          expect(new Webhook(secret).verify(body, headers)).to.deep.equal(sent)
          expect(() => new Webhook(secret).verify(`${body} `, headers)).to.throw()
          expect(() => new Webhook(secret).verify(body, { ...headers, 'webhook-id': `${id}x` })).to.throw()
        }
        expect(() => new Webhook(wrong).verify(body, headers)).to.throw()
      }),
      { numRuns: 50 },
    )
  })

  for (const [name, text] of [
    ['nothing', ''],
    ['no prefix', Buffer.alloc(32).toString('base64')],
    ['another prefix', `whpk_${Buffer.alloc(32).toString('base64')}`],
    ['23 bytes', `whsec_${Buffer.alloc(23).toString('base64')}`],
    ['65 bytes', `whsec_${Buffer.alloc(65).toString('base64')}`],
    ['base64url', `whsec_${Buffer.alloc(32, 0xff).toString('base64url')}`],
    ['white space', `whsec_${Buffer.alloc(32).toString('base64')} `],
    ['the word', 'whsec_changeme'],
  ] as const) {
    it(`refuses a secret with ${name}, without saying it`, () => {
      const error = expectCode('WEBHOOK_SECRET_UNUSABLE', () => parseWebhookSecret(text))
      if (text !== '') expect(error.message + JSON.stringify(error.facts)).not.to.include(text)
    })
  }

  it('takes 24 to 64 bytes', () => {
    for (const size of [24, 32, 64]) {
      expect(parseWebhookSecret(`whsec_${Buffer.alloc(size, 7).toString('base64')}`)).to.have.length(size)
    }
  })
})
