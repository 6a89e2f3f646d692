// Our own token realm, for where no registry's is configured: it changes a Countersign token, or nothing at all, into a short-lived one that
// stock clients send. They offer it the password of whatever registry they talk to (cli/trust GetNotaryRepository): what is no token of
// ours is neither kept nor logged, and gets what nobody gets.
import { randomBytes } from 'node:crypto'
import { errors, jwtVerify, SignJWT } from 'jose'
import * as z from 'zod'
import { ACTIONS, allows, type Action, type Caller } from './caller.ts'

export const OWN_SERVICE = 'countersign-trust-server'

/** Seconds. Clients ask again by themselves. */
const LIFETIME_S = 300
const ALGORITHM = 'HS256'
/** What one request may ask for. */
const MAX_SCOPES = 16

const claims = z.object({
  sub: z.string(),
  access: z.array(z.object({ name: z.string(), actions: z.array(z.string()) })),
  catalog: z.boolean(),
})

export class OwnTokens {
  /** Of this process alone: after a restart clients ask for new ones. */
  readonly #secret = randomBytes(32)
  readonly #now: () => Date

  constructor(now: () => Date) {
    this.#now = now
  }

  /** What of the scopes the caller may do. `open` is what everybody may. */
  async issue(
    caller: Caller,
    scopes: readonly string[],
    open: (action: Action) => boolean,
  ): Promise<{ readonly token: string; readonly expires_in: number }> {
    const access = scopes.slice(0, MAX_SCOPES).flatMap((scope) => {
      const wanted = parseScope(scope)
      if (wanted === undefined) return []
      const actions = ACTIONS.filter(
        (action) => allows(wanted.actions, action) && (open(action) || caller.may(wanted.name, action)),
      )
      return [{ name: wanted.name, actions }]
    })
    const seconds = Math.floor(this.#now().getTime() / 1000)
    const token = await new SignJWT({ access, catalog: caller.mayList })
      .setProtectedHeader({ alg: ALGORITHM })
      .setSubject(caller.principal)
      .setAudience(OWN_SERVICE)
      .setIssuedAt(seconds)
      .setExpirationTime(seconds + LIFETIME_S)
      .sign(this.#secret)
    return { token, expires_in: LIFETIME_S }
  }

  /** The caller that the token was issued to; undefined where it is not one of ours, or has ended. */
  async verify(token: string): Promise<Caller | undefined> {
    try {
      const { payload } = await jwtVerify(token, this.#secret, {
        audience: OWN_SERVICE,
        algorithms: [ALGORITHM],
        currentDate: this.#now(),
      })
      const { sub, access, catalog } = claims.parse(payload)
      return {
        principal: sub,
        isAnonymous: false,
        may: (gun, action) => access.some(({ name, actions }) => name === gun && allows(actions, action)),
        mayList: catalog,
      }
    } catch (error) {
      if (error instanceof errors.JOSEError || error instanceof z.ZodError) return undefined
      throw error
    }
  }
}

/** `repository:host:port/name:push,pull`: the name may hold colons. */
function parseScope(scope: string): { readonly name: string; readonly actions: readonly string[] } | undefined {
  const [, name, actions] = /^repository:([^*\s]{1,512}):([a-z,*]{1,64})$/.exec(scope) ?? []
  return name === undefined || actions === undefined ? undefined : { name, actions: actions.split(',') }
}
