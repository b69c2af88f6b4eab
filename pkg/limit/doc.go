// Package limit holds what keeps trouble from growing: bounds that are asked
// before something is done, decide at once, and block nobody.
package limit
