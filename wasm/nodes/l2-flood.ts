export function l2Flood(): bool { return false; }
