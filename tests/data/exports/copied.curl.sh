# Chrome, Copy as cURL (bash)
curl 'https://calls.example.com/twilio/status' \
  -H 'Host: calls.example.com' \
  -H 'User-Agent: TwilioProxy/1.1' \
  -H 'Content-Type: application/x-www-form-urlencoded; charset=UTF-8' \
  -H 'X-Twilio-Signature: s3cret-signature' \
  -H 'Cookie: session=s3cret-signature' \
  --data-raw 'CallSid=CA11111111111111111111111111111111&AccountSid=AC00000000000000000000000000000001&From=%2B17655550142&To=%2B17655550100&Caller=%2B17655550142&Called=%2B17655550100&Direction=inbound&CallStatus=completed&CallDuration=62&Duration=2&FromCity=Z%C3%BCrich&FromState=&Timestamp=Thu%2C+12+Mar+2026+15%3A00%3A01+%2B0000&CallbackSource=call-progress-events&SequenceNumber=0&ApiVersion=2010-04-01' \
  --compressed

curl https://calls.example.com/health -I
