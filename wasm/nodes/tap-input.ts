export function tapInput(): void {}
