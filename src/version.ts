/** What this package calls itself towards others. */
export const VERSION = '0.1.0';
