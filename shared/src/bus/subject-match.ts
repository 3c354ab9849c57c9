/**
 * Which subjects a pattern covers: `*` stands for one token, a last `>` for one or more.
 * Source: NATS documentation, "Subject-Based Messaging".
 */

export function subjectMatches(pattern: string, subject: string): boolean {
  const wanted = pattern.split('.');
  const tokens = subject.split('.');
  for (const [index, want] of wanted.entries()) {
    if (index >= tokens.length) return false;
    if (want === '>' && index === wanted.length - 1) return true;
    if (want !== '*' && want !== tokens[index]) return false;
  }
  return wanted.length === tokens.length;
}
