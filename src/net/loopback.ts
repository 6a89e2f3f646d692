// Which hosts never leave this machine: the only ones that may be spoken to without TLS.

/** `hostname` as a URL has it: brackets around an IPv6 address. */
export function isLoopbackHost(hostname: string): boolean {
  const bare = hostname.replace(/^\[|\]$/g, '').toLowerCase()
  return bare === 'localhost' || bare === '::1' || /^127(\.[0-9]{1,3}){3}$/.test(bare)
}
