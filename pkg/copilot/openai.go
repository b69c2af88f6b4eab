package copilot

import (
	"context"
	"net/http"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

// openAI is the Chat Completions API, which other providers and servers of models
// speak, too.
type openAI struct{ url string }

func (o openAI) ask(ctx context.Context, client *http.Client, key string, p Prompt, piece func(string)) (cut string, err error) {
	options := []option.RequestOption{option.WithBaseURL(o.url), option.WithHTTPClient(client), option.WithMaxRetries(maxRetries)}
	if key != "" {
		options = append(options, option.WithAPIKey(key))
	}
	chat := openai.NewChatCompletionService(options...)
	stream := chat.NewStreaming(ctx, openai.ChatCompletionNewParams{
		Model:    p.Model,
		Messages: []openai.ChatCompletionMessageParamUnion{openai.SystemMessage(p.System), openai.UserMessage(p.user())},
	})
	defer stream.Close()
	ended := ""
	for stream.Next() {
		for _, choice := range stream.Current().Choices {
			if choice.Delta.Content != "" {
				piece(choice.Delta.Content)
			}
			if choice.Delta.Refusal != "" {
				piece(choice.Delta.Refusal)
			}
			if choice.FinishReason != "" {
				ended = choice.FinishReason
			}
		}
	}
	if err := stream.Err(); err != nil {
		return "", err
	}
	switch ended {
	case "":
		return "", errBroken
	case "length":
		return "the model wrote as much as it may", nil
	case "content_filter":
		return "the provider's filter ended it", nil
	}
	return "", nil
}
