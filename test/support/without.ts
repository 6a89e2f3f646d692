// An example without one of its members.
export function without<T extends object, K extends keyof T & string>(whole: T, name: K): Omit<T, K> {
  return Object.fromEntries(Object.entries(whole).filter(([each]) => each !== name)) as Omit<T, K>
}
