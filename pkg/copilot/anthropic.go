package copilot

import (
	"context"
	"net/http"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
)

const (
	// maxRetries is how often a question is sent again that met an overload or no
	// connection.
	maxRetries = 1
	// maxTokens is how long an answer may be, which this API must be told.
	maxTokens = 4096
)

// anthropicAPI is the Messages API.
type anthropicAPI struct{ url string }

func (a anthropicAPI) ask(ctx context.Context, client *http.Client, key string, p Prompt, piece func(string)) (cut string, err error) {
	options := []option.RequestOption{option.WithBaseURL(a.url), option.WithHTTPClient(client), option.WithMaxRetries(maxRetries)}
	if key != "" {
		options = append(options, option.WithAPIKey(key))
	}
	messages := anthropic.NewMessageService(options...)
	stream := messages.NewStreaming(ctx, anthropic.MessageNewParams{
		Model: anthropic.Model(p.Model), MaxTokens: maxTokens,
		System:   []anthropic.TextBlockParam{{Text: p.System}},
		Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(p.user()))},
	})
	defer stream.Close()
	ended := ""
	for stream.Next() {
		event := stream.Current()
		switch event.Type {
		case "content_block_start":
			if event.ContentBlock.Text != "" {
				piece(event.ContentBlock.Text)
			}
		case "content_block_delta":
			if event.Delta.Type == "text_delta" {
				piece(event.Delta.Text)
			}
		case "message_delta":
			ended = string(event.Delta.StopReason)
		}
	}
	if err := stream.Err(); err != nil {
		return "", err
	}
	switch ended {
	case "":
		return "", errBroken
	case "max_tokens":
		return "the model wrote as much as it may", nil
	case "refusal":
		return "the model refused to go on", nil
	}
	return "", nil
}
