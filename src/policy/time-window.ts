// When may be asked: days and hours on the clock of a place. Pure.
import type { TimeWindow } from './project-file.ts'

/** Whether the moment lies in one of the windows. `from` is in it, `to` is not; a window that ends before it begins crosses midnight. */
export function isWithin(windows: readonly TimeWindow[], at: Date): boolean {
  return windows.some(({ days, from, to, zone }) => {
    const { day, minutes } = clockOf(at, zone)
    const [begin, end] = [minutesOf(from), minutesOf(to)]
    if (begin < end) return days.includes(day) && minutes >= begin && minutes < end
    // Past midnight the window belongs to the day on which it began.
    return (days.includes(day) && minutes >= begin) || (days.includes(dayBefore(day)) && minutes < end)
  })
}

type Day = TimeWindow['days'][number]
const DAYS: readonly Day[] = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']

function clockOf(at: Date, zone: string): { readonly day: Day; readonly minutes: number } {
  const parts = new Intl.DateTimeFormat('en-GB', {
    timeZone: zone,
    weekday: 'short',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  }).formatToParts(at)
  const part = (type: Intl.DateTimeFormatPartTypes): string => parts.find((each) => each.type === type)?.value ?? ''
  const weekday = part('weekday').toLowerCase()
  const day = DAYS.find((each) => weekday.startsWith(each))
  if (day === undefined) throw new Error('A moment has a day of the week.')
  return { day, minutes: Number(part('hour')) * 60 + Number(part('minute')) }
}

function minutesOf(time: string): number {
  const [hours, minutes] = time.split(':')
  return Number(hours) * 60 + Number(minutes)
}

function dayBefore(day: Day): Day {
  return DAYS[(DAYS.indexOf(day) + DAYS.length - 1) % DAYS.length] ?? day
}
