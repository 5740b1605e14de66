-- What the send gate reads of contacts; store/facts.py. $3: how far back caps look; $4, $5: hashes of the addresses
-- that are asked about, by place from 1. Primary keys.
SELECT u.place, c.sending_rev, c.opted_out,
    (SELECT jsonb_agg(jsonb_build_array(k.channel, k.category, k.granted, k.source, k.at))
     FROM consent k WHERE k.account_id = c.account_id AND k.contact_id = c.contact_id) AS consents,
    (SELECT jsonb_agg(jsonb_build_array(s.channel, encode(s.address_hash, 'hex'), s.category, s.reason, s.until))
     FROM unnest($4::integer[], $5::bytea[]) AS h (place, hash)
     JOIN suppression s ON s.account_id = c.account_id AND s.address_hash = h.hash
     WHERE h.place = u.place) AS suppressions,
    CASE WHEN u.back > interval '0' THEN
        (SELECT jsonb_agg(jsonb_build_array(m.at, m.channel, m.category, m.execution_id, m.step_id, m.visit)
                          ORDER BY m.at)
         FROM (SELECT * FROM message_intent i WHERE i.account_id = c.account_id AND i.contact_id = c.contact_id
                   AND i.at > wf_now() - u.back ORDER BY i.at DESC LIMIT 500) AS m) END AS sent
FROM unnest($1::bigint[], $2::uuid[], $3::interval[]) WITH ORDINALITY AS u (account_id, contact_id, back, place)
JOIN contact c ON c.account_id = u.account_id AND c.contact_id = u.contact_id
