export function policy(): void {}
