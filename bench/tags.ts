/** Names of tags or repositories that sort as they count: v00000, v00001... */
export function tagNames(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${String(index).padStart(5, '0')}`)
}
