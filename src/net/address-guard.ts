// Which addresses may be connected to where a name comes from a configuration, but its address from whoever owns the name. The check
// is made on the very addresses that are then connected to, at each connection: a name that changes its mind gains nothing.
import { lookup as systemLookup, type LookupAddress } from 'node:dns'
import { BlockList, isIP, isIPv6, type LookupFunction } from 'node:net'
import { NetError } from './errors.ts'

/** Whether this address, an IP address as text, may be connected to. */
export type AddressGuard = (address: string) => boolean

/** All addresses of a name. */
export type Resolver = (
  hostname: string,
  done: (error: NodeJS.ErrnoException | null, addresses: readonly LookupAddress[]) => void,
) => void

/** This machine and networks of one's own: only where an operator says so. */
const PRIVATE = blockList([
  '127.0.0.0/8',
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '100.64.0.0/10', // shared address space, RFC 6598
  '::1/128',
  'fc00::/7',
])

/** Never: what no receiver of events lives at, and where clouds keep the secrets of a machine. */
const NEVER = blockList([
  '0.0.0.0/8',
  '169.254.0.0/16',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
  '100.100.100.200/32', // metadata of Alibaba Cloud
  '168.63.129.16/32', // metadata of Azure
  'fd00:ec2::/32', // metadata of AWS
  'fd20:ce::/32', // metadata of Google Cloud
  '2001::/23', // Teredo and other protocols
  '2001:db8::/32',
])

/** All that is routed in the public IPv6 network. */
const PUBLIC_IPV6 = blockList(['2000::/3'])

/** `allowPrivate`: loopback, RFC 1918, RFC 6598 and unique local addresses are fine, too. */
export function addressGuard(o: { readonly allowPrivate: boolean }): AddressGuard {
  return (address) => isPermitted(address, o.allowPrivate)
}

function isPermitted(address: string, allowPrivate: boolean): boolean {
  const family = isIP(address)
  // An address with a zone (`fe80::1%eth0`) is link-local.
  if (family === 0 || address.includes('%')) return false
  if (family === 4) return !NEVER.check(address, 'ipv4') && (allowPrivate || !PRIVATE.check(address, 'ipv4'))
  const inner = embeddedIpv4(address)
  if (inner !== undefined) return isPermitted(inner, allowPrivate)
  if (NEVER.check(address, 'ipv6')) return false
  return PUBLIC_IPV6.check(address, 'ipv6') || (allowPrivate && PRIVATE.check(address, 'ipv6'))
}

/** The IPv4 address that an IPv6 address stands for: mapped, by the well-known prefix of NAT64, or 6to4. */
function embeddedIpv4(address: string): string | undefined {
  const groups = groupsOf(address)
  const [first = 0, second = 0, third = 0] = groups
  const high = groups.slice(0, 6).join(':')
  if (high === '0:0:0:0:0:65535' || high === '100:65435:0:0:0:0') return dotted(groups[6] ?? 0, groups[7] ?? 0)
  return first === 0x2002 ? dotted(second, third) : undefined
}

/** The eight groups. The parser of URLs writes every form of an address in one way. */
function groupsOf(address: string): readonly number[] {
  const [head = '', tail] = new URL(`http://[${address}]/`).hostname.slice(1, -1).split('::')
  const parse = (text: string): number[] => (text === '' ? [] : text.split(':').map((group) => parseInt(group, 16)))
  const [before, after] = [parse(head), parse(tail ?? '')]
  return [...before, ...Array.from({ length: 8 - before.length - after.length }, () => 0), ...after]
}

function dotted(high: number, low: number): string {
  return [high >> 8, high & 255, low >> 8, low & 255].join('.')
}

function blockList(subnets: readonly string[]): BlockList {
  const list = new BlockList()
  for (const subnet of subnets) {
    const [address = '', prefix = ''] = subnet.split('/')
    list.addSubnet(address, Number(prefix), isIPv6(address) ? 'ipv6' : 'ipv4')
  }
  return list
}

/** The error of a forbidden address; it goes past whoever names errors. */
export function forbidden(hostname: string): NetError {
  return new NetError(
    'NET_ADDRESS_FORBIDDEN',
    'The name leads to an address that is not connected to: this machine, a private network, or no address of a server.',
    { host: hostname },
  )
}

/**
 * Resolves for `connect`, and hands out addresses only if every one of them is allowed. However many connections are wanted, a name is
 * asked for once at a time: a slow name server must not use up the threads that resolve names for others.
 */
export function guardedLookup(isAllowed: AddressGuard, resolve: Resolver = resolveBySystem): LookupFunction {
  const waiting = new Map<string, Parameters<Resolver>[1][]>()
  const ask: Resolver = (hostname, done) => {
    const others = waiting.get(hostname)
    if (others !== undefined) {
      others.push(done)
      return
    }
    const all = [done]
    waiting.set(hostname, all)
    resolve(hostname, (error, addresses) => {
      waiting.delete(hostname)
      for (const one of all) one(error, addresses)
    })
  }
  return (hostname, { all, family }, done) => {
    ask(hostname, (error, found) => {
      const addresses = found.filter((one) => family === undefined || family === 0 || one.family === family)
      const [first] = addresses
      if (error !== null || first === undefined) {
        done(error ?? Object.assign(new Error('No address.'), { code: 'ENOTFOUND' }), [])
      } else if (!found.every(({ address }) => isAllowed(address))) {
        done(forbidden(hostname), [])
      } else if (all === true) {
        done(null, [...addresses])
      } else {
        done(null, first.address, first.family)
      }
    })
  }
}

const resolveBySystem: Resolver = (hostname, done) => {
  systemLookup(hostname, { all: true }, (error, addresses: LookupAddress[] | undefined) => {
    // Node gives none at all with an error.
    done(error, addresses ?? [])
  })
}
