// Package copilot asks a language model a question about the run: by the API of
// OpenAI, which many others speak, or that of Anthropic.
//
// The model is given facts as JSON and the calls that there are. It is told that
// it changes nothing: it can propose calls, of which those that the control plane
// has not are dropped, and a person makes them or does not.
//
//   - copilot.go: from a question to what is sent, kept so that it can be shown
//     before, and to the answer
//   - scrub.go: what never leaves this process: secrets, clients' addresses,
//     values of headers
//   - prompt.go: what the model is told, and the calls that it proposes
//   - openai.go, anthropic.go: the two APIs; client.go: what both are asked by
//   - trouble.go: what went wrong, as a sentence
//
// Of the libraries, versions are used whose types have no reflect.Type embedded
// and put into an interface (anthropic-sdk-go from 1.39 on, openai-go from 3.37
// on): before, the linker kept every method of every type, 7 MB of them.
//
// A question costs money and tells somebody else of the run. So there is none
// without a flag that turns this on, and only so many a day.
package copilot
