// A GUN (globally unique name): the name of the image repository whose metadata this is, as Docker writes it.
import { TufError } from './errors.ts'

/** `host[:port]/path`, as `registry.example.com/team/app` or `docker.io/library/alpine`. Made by `parseGun` only. */
export type Gun = string & { readonly brand: unique symbol }

// distribution/reference v0.5.0 regexp.go: the domain, then path components; a name has at most 255 characters (reference.go).
const DOMAIN_LABEL = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])'
const DOMAIN = `(?:${DOMAIN_LABEL}(?:\\.${DOMAIN_LABEL})*|\\[[0-9a-fA-F:]+\\])(?::[0-9]{1,5})?`
const COMPONENT = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*'
const GUN = new RegExp(`^${DOMAIN}(?:/${COMPONENT})+$`)
const MAX_LENGTH = 255

/**
 * Stricter than Notary, which takes any text: only names that Docker can form get through, so a GUN is safe in URL paths.
 * @throws TufError GUN_INVALID
 */
export function parseGun(text: string): Gun {
  if (text.length > MAX_LENGTH || !GUN.test(text)) {
    throw new TufError('GUN_INVALID', 'Not a repository name with host and path', { gun: text.slice(0, MAX_LENGTH) })
  }
  return text as Gun
}
